"""What a file seems to be, and that the configuration that is printed reads it."""

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedkd.cli.main import app
from fedkd.data.guess import guesses
from fedkd.runs.config import load
from tests.data.formats.samples import SAMPLES, Sample
from tests.data.formats.test_published import target
from tests.data.sources.tiny import histories

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
    begin = lines.index("    [data]")
    (folder / "conf.toml").write_text(
        "\n".join(line.removeprefix("    ") for line in lines[begin : lines.index("", begin)])
    )
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
