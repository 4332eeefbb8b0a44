"""What a file seems to be, and that the configuration that is printed reads it."""

import gzip
import re
import shlex
from itertools import takewhile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from fedkd.cli.main import app
from fedkd.data.formats.published import Published
from fedkd.data.guess import guesses
from fedkd.data.sources.guess import Sure
from fedkd.data.sources.table import SOURCES
from fedkd.runs.config import load
from tests.data.formats.samples import SAMPLES, Sample
from tests.data.formats.test_published import target
from tests.data.sources.tiny import TINY_1M, TINY_100K, histories, unpacked

COMMAND = "    fedkd data describe "
each = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.source}/{sample.first}")


def printed(path: Path) -> str:
    result = CliRunner().invoke(app, ["data", "guess", str(path)])
    assert result.exit_code == 0, result.output
    return result.output


def as_printed(output: str, folder: Path) -> list[dict[str, list[str]]]:
    """Return the histories that the first printed arguments, and the printed table, read."""
    lines = output.splitlines()
    given = next(line for line in lines if line.startswith(COMMAND)).removeprefix(COMMAND)
    block = takewhile(lambda line: line.startswith("    "), lines[lines.index("    [data]") :])
    (folder / "conf.toml").write_text("\n".join(line.removeprefix("    ") for line in block))
    both = load(None, shlex.split(given)[1::2]), load(folder / "conf.toml")
    assert both[0].data == both[1].data
    return [histories(config.data.load().interactions) for config in both[:1]]


@each
def test_what_is_printed_reads_the_data(sample: Sample, tmp_path: Path) -> None:
    folder = sample.written(tmp_path / "my data's")
    for path in {target(sample, folder), folder / sample.first}:
        output = printed(path)
        assert as_printed(output, tmp_path) == [sample.histories]
        assert not [
            each
            for each in (*sample.histories, "Café", "private")
            if each in output.replace(str(tmp_path), "") and len(each) > 3
        ]


@each
def test_a_format_is_recognised_by_its_own_name(sample: Sample, tmp_path: Path) -> None:
    path = target(sample, sample.written(tmp_path))
    assert sample.source in {guess.source for guess in guesses(path)}
    assert guesses(path)[0].source == sample.source


def made(folder: Path, name: str, data: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "listener,track,played_at\na,x,2012-01-01\nb,y,2012-01-02\na,y,2012-02-02\nb,x,2012-01-05\n"),
        ("a.csv", "reader_nr;book_nr;word\n1;x;a\n2;y;b\n1;y;c\n2;x;d\n"),
        ("a.tsv", "a\tx\t4.5\t1400000001\nb\ty\t3\t1400000002\na\ty\t5\t1400000003\nb\tx\t1\t1400000004\n"),
        ("a.txt", "a::2012-04-03 10:00::x\nb::2012-04-03 10:01::y\na::2012-04-04 10:00::y\nb::2012-04-05 10:00::x\n"),
        ("a.csv", "User-ID,item\nJos\xe9,x\n2,y\nJos\xe9,y\n2,x\n".encode("latin-1")),
    ],
    ids=["names", "first columns", "positions", "times between", "latin-1"],
)
def test_what_is_printed_of_an_unknown_table_reads_it(tmp_path: Path, name: str, text: str | bytes) -> None:
    output = printed(made(tmp_path, name, text))
    (found,) = as_printed(output, tmp_path)
    assert sorted(map(sorted, found.values())) == [["x", "y"], ["x", "y"]]
    assert "check whether these are the columns" in output


def test_a_parquet_file_is_guessed_by_the_names_of_its_columns(tmp_path: Path) -> None:
    pd.DataFrame({"customer_id": [1, 1, 2, 2], "sku": list("xyxy"), "n": 1}).to_parquet(tmp_path / "a.parquet")
    assert as_printed(printed(tmp_path / "a.parquet"), tmp_path) == [{"1": ["x", "y"], "2": ["x", "y"]}]


def test_the_files_of_a_folder_of_no_format_are_guessed_one_by_one(tmp_path: Path) -> None:
    made(tmp_path, "notes.md", "hello\n")
    path = made(tmp_path, "plays.csv", "user,item\n1,2\n1,3\n2,3\n")
    assert [(guess.source, guess.path) for guess in guesses(tmp_path)] == [("table", path)]


def test_folders_of_the_movielens_archives_are_recognised(tmp_path: Path) -> None:
    for name, files in (("ml-100k", TINY_100K), ("ml-1m", {**TINY_1M, "users.dat": "1::F\n"})):
        folder = unpacked(tmp_path / name, files)
        assert [guesses(each)[0].source for each in (folder,)] == [f"movielens-{name[3:]}"]
        assert guesses(folder)[0].sure is Sure.CERTAINLY


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", "secret\n", "is nothing that is known here; `fedkd data list` shows what is"),
        ("a.json", '[{"secret": 1}]', "is one JSON array"),
        ("a.json", '{"secret": 1, "other": 2}\n', "no key is called user or item; set data.source=json-lines"),
        ("a.h5", b"\x89HDF\r\n\x1a\nsecret", "is an HDF5 file"),
        ("a.gz", gzip.compress(b"1 2 secret\n" * 99, mtime=0)[:30], "damaged, cut short"),
        ("a.bin", bytes(range(256)) * 4, "nothing that is known"),
        ("none", None, "does not exist"),
        ("", "", "is nothing that is known here"),
    ],
)
def test_what_is_nothing_known_is_said_and_not_shown(tmp_path: Path, name: str, data: Any, message: str) -> None:
    path = tmp_path / name if name else tmp_path
    if name and data is not None:
        made(tmp_path, name, data)
    result = CliRunner().invoke(app, ["data", "guess", str(path)])
    assert result.exit_code == 2
    assert message in result.output
    assert "secret" not in result.output.replace(str(tmp_path), "")


@pytest.mark.parametrize("ending", [0.3, 0.8])
def test_the_guess_of_a_cut_file_ends_with_a_sentence(ending: float, tmp_path: Path) -> None:
    for sample in SAMPLES[::4]:
        data = sample.files[sample.first]
        path = made(tmp_path, sample.first, data[: int(len(data) * ending)])
        assert CliRunner().invoke(app, ["data", "guess", str(path)]).exit_code in (0, 2)


def test_the_list_has_a_line_for_every_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = CliRunner().invoke(app, ["data", "list"]).output.splitlines()
    for source in SOURCES:
        if issubclass(source, Published):
            (line,) = [line for line in lines if line.startswith(f"{source.label()} ") and source.summary in line]
            assert len(line) <= 80


@pytest.mark.parametrize(("plays", "share"), [(1, ""), (4, "75 %")])
def test_rows_that_repeat_are_told_with_the_key_that_keeps_the_data(tmp_path: Path, plays: int, share: str) -> None:
    rows = [f"u{user},s{song}" for user in range(9) for song in range(4)] * plays
    (tmp_path / "plays.csv.gz").write_bytes(gzip.compress("\n".join(["user,item", *rows, ""]).encode()))
    said = printed(tmp_path / "plays.csv.gz")
    assert (f"{share.replace(' ', '')} repeat" in said) == bool(share)
    command = next(line for line in said.splitlines() if line.startswith(COMMAND)).removeprefix("    fedkd ")
    told = re.findall(r"--set data\.largest-loss=1", said)
    assert CliRunner().invoke(app, [*shlex.split(command), *shlex.split(" ".join(told))]).exit_code == 0
    assert (CliRunner().invoke(app, shlex.split(command)).exit_code == 0) == (not told)
