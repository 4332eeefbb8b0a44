"""Ten damaged files of every form: what is read is what a slow reader finds too, or the file is refused."""

import bz2
import gzip
import lzma
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from fedkd.data.cleaning import Keep, Raw, clean
from fedkd.data.sources.table import SOURCES
from fedkd.errors import UserError
from tests.data.formats.naive import plain, reader
from tests.data.formats.samples import SAMPLES, Sample

Damage = Callable[[bytes, random.Random], bytes]
PER_FORM = 10


def cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def without_beginning(data: bytes, draw: random.Random) -> bytes:
    return data[draw.randrange(len(data)) :]


def flipped(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.randint(1, 3)):
        changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def inserted(*pieces: bytes) -> Damage:
    def insert(data: bytes, draw: random.Random) -> bytes:
        at = draw.randrange(len(data) + 1)
        return data[:at] + draw.choice(pieces) + data[at:]

    return insert


def removed(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data))
    return data[:at] + data[at + draw.randint(1, 4) :]


def of_a_line(change: Callable[[list[bytes], random.Random], list[bytes]]) -> Damage:
    """Return the damage of the fields of one line."""

    def damage(data: bytes, draw: random.Random) -> bytes:
        whole = data.split(b"\n")
        at = draw.randrange(len(whole))
        mark = max((b"::", b"\t", b";", b", ", b",", b" "), key=whole[at].count)
        whole[at] = mark.join(change(whole[at].split(mark), draw))
        return b"\n".join(whole)

    return damage


def twice(fields: list[bytes], draw: random.Random) -> list[bytes]:
    at = draw.randrange(len(fields))
    return [*fields[:at], fields[at], *fields[at:]]


def swapped(fields: list[bytes], draw: random.Random) -> list[bytes]:
    one, other = draw.randrange(len(fields)), draw.randrange(len(fields))
    fields[one], fields[other] = fields[other], fields[one]
    return fields


def lost(fields: list[bytes], draw: random.Random) -> list[bytes]:
    del fields[draw.randrange(len(fields))]
    return fields


def shuffled_lines(data: bytes, draw: random.Random) -> bytes:
    whole = data.split(b"\n")
    draw.shuffle(whole)
    return b"\n".join(whole)


def glued(data: bytes, draw: random.Random) -> bytes:
    at = draw.choice([found.start() for found in re.finditer(b"\n", data)] or [0])
    return data[:at] + data[at + 1 :]


def encoded(data: bytes, draw: random.Random) -> bytes:
    return data.decode("latin-1").encode(draw.choice(["utf-16", "utf-16-le", "utf-32", "utf-8-sig"]))


def other_ends(data: bytes, draw: random.Random) -> bytes:
    return data.replace(b"\n", draw.choice([b"\r\n", b"\r", b"\n\n", b" \n", b"\n \t\n"]))


def packed(data: bytes, draw: random.Random) -> bytes:
    whole = draw.choice([partial(gzip.compress, mtime=0), bz2.compress, lzma.compress])(data)
    return draw.choice([whole, whole[: len(whole) * 2 // 3], flipped(whole, draw)])


def another(data: bytes, draw: random.Random) -> bytes:
    return draw.choice(
        [b"", b"\n\n", b"<html><body>secret404</body></html>\n", b"[" + data + b"]", b"\0" * 64, bytes(range(256))]
    )


DAMAGES: tuple[Damage, ...] = (
    cut,
    without_beginning,
    flipped,
    inserted(b'"', b"'", b"\\", b'""', b'"\n"'),
    inserted(b"\0", b"\xff", b"\xe9", "é".encode(), b"\xef\xbb\xbf", b"\x1a"),
    inserted(b",", b"\t", b";", b"::", b"\n", b" ", b"\r"),
    inserted(b"-", b".0", b"0", b"_", b"+", b"e9", b"{", b"}", b"null", b"NaN"),
    removed,
    of_a_line(twice),
    of_a_line(swapped),
    of_a_line(lost),
    shuffled_lines,
    glued,
    encoded,
    other_ends,
    packed,
    another,
)


def unpacked(data: bytes) -> bytes:
    for magic, unpack in ((b"\x1f\x8b", gzip.decompress), (b"BZh", bz2.decompress), (b"\xfd7zXZ", lzma.decompress)):
        if data.startswith(magic):
            return unpack(data)
    return data


def expected(sample: Sample, data: bytes) -> Counter[tuple[str, str]] | None:
    """Return the pairs of a file, those with an empty id too; None where a slow reader finds it is no such file."""
    try:
        return Counter(reader(sample.source, sample.first)(unpacked(data)))
    except Exception:
        return None


def pairs(raw: Raw) -> Counter[tuple[str, str]]:
    rows = raw.rows[["user", "item"]].astype("object")
    return Counter((plain(u), plain(i)) for u, i in rows.where(rows.notna(), "").itertuples(index=False))


def cells(sample: Sample) -> set[str]:
    """Return what no message may show: words of the data of four letters or more, but what the program says itself."""
    text = sample.files[sample.first].decode("latin-1")
    header = text.split("\n")[0] if "user" in text[:20].lower() and "\t201" not in text[:40] else ""
    own = f"{SOURCES.find(sample.source).summary} {sample.first} {header} user item interactions True False"
    keys = re.findall(r"""["'](\w+)["']: """, text)
    return set(re.findall(r"[A-Za-z0-9]{4,}", text)) - {*keys, *re.findall(r"[A-Za-z0-9]+", own)}


def check(sample: Sample, data: bytes, path: Path) -> bool:
    """Read one damaged file; return whether it was read."""
    path.write_bytes(data)
    try:
        raw = sample.read_from(path).read()
        assert isinstance(raw, Raw)
        compare(raw, expected(sample, data))
        clean(raw, Keep())
    except UserError as error:
        message = str(error).replace(str(path), "")
    else:
        return True
    shown = cells(sample) & {*re.findall(r"[A-Za-z0-9]+", message)}
    assert not shown, f"a message shows a cell: {message}"
    return False


def compare(raw: Raw, wanted: Counter[tuple[str, str]] | None) -> None:
    found, left_out = pairs(raw), sum(count for reason, count in raw.dropped.items() if ":" not in reason)
    assert wanted is not None, "a file that is none was read"
    assert found.total() + left_out == wanted.total(), "rows were lost in silence"
    assert found == wanted, "rows are not those of the file"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.source}/{sample.first}")
def test_a_damaged_file_is_read_right_or_refused(sample: Sample, tmp_path: Path) -> None:
    number, whole = SAMPLES.index(sample), sample.files[sample.first]
    path, draw = tmp_path / sample.first, random.Random(number)
    assert check(sample, whole, path)
    for turn in range(PER_FORM):
        damage = DAMAGES[(number * PER_FORM + turn) % len(DAMAGES)]
        with explained(damage, turn):
            check(sample, damage(whole, draw), path)


@pytest.mark.parametrize(
    "sample", [sample for sample in SAMPLES if len(sample.files) > 1], ids=lambda sample: sample.source
)
def test_damaged_content_changes_no_interaction(sample: Sample, tmp_path: Path) -> None:
    number, draw = SAMPLES.index(sample), random.Random(SAMPLES.index(sample))
    first, name = sample.written(tmp_path) / sample.first, list(sample.files)[-1]
    for turn in range(PER_FORM):
        damage = DAMAGES[(number * PER_FORM + turn) % len(DAMAGES)]
        with explained(damage, turn):
            (tmp_path / name).write_bytes(damage(sample.files[name], draw))
            check(sample, sample.files[sample.first], first)


@contextmanager
def explained(damage: Damage, turn: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise AssertionError(f"{damage.__qualname__}, turn {turn}: {type(error).__name__} {error}") from error
