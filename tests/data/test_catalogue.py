"""A catalogue as bytes: what is read is what was written, and nothing else is believed."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load, save

from fedkd.data import catalogue as module
from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError

FULL = Catalogue(
    np.array(["1", "b", "tt3"]),
    np.array(["Café (1990)", "", "片 ♥"]),
    ("Drama", "Ärger"),
    np.array([[True, False], [False, False], [True, True]]),
    {"text": np.arange(6, dtype=np.float32).reshape(3, 2), "image": np.ones((3, 1), np.float32)},
    np.array([1990, 0, 2024]),
)


def assert_equal(left: Catalogue, right: Catalogue) -> None:
    np.testing.assert_array_equal(left.ids, right.ids)
    assert left.categories == right.categories
    assert left.vectors.keys() == right.vectors.keys()
    pairs: list[tuple[Any, Any]] = [(left.titles, right.titles), (left.years, right.years)]
    pairs += [
        (left.membership, right.membership),
        *((left.vectors[name], right.vectors[name]) for name in left.vectors),
    ]
    for one, other in pairs:
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_array_equal(one, other)
            assert one.dtype.kind == other.dtype.kind


@pytest.mark.parametrize("catalogue", [FULL, Catalogue.numbered(5), Catalogue.numbered(0)], ids=["full", "ids", "none"])
def test_what_is_read_is_what_was_written(catalogue: Catalogue, tmp_path: Path) -> None:
    assert_equal(Catalogue.from_bytes(catalogue.to_bytes()), catalogue)
    catalogue.write(tmp_path / "c.safetensors")
    found = Catalogue.read(tmp_path / "c.safetensors")
    assert_equal(found, catalogue)
    assert found.fingerprint == catalogue.fingerprint


@settings(max_examples=30, deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_characters="\0"), max_size=9), max_size=6))
def test_any_titles_survive_but_for_what_utf8_cannot_write(texts: list[str]) -> None:
    catalogue = replace(Catalogue.numbered(len(texts)), titles=np.array(texts, np.str_))
    found = Catalogue.from_bytes(catalogue.to_bytes()).titles
    assert found is not None
    assert found.tolist() == [text.encode(errors="replace").decode() for text in texts]


def test_the_fingerprint_changes_with_everything() -> None:
    assert FULL.years is not None
    changed = [
        replace(FULL, ids=np.array(["1", "b", "tt4"])),
        replace(FULL, titles=None),
        replace(FULL, categories=("Drama", "Other")),
        replace(FULL, membership=~FULL.membership),
        replace(FULL, vectors={"text": FULL.vectors["text"]}),
        replace(FULL, years=FULL.years + (FULL.years > 0)),
    ]
    assert len({catalogue.fingerprint for catalogue in [FULL, *changed]}) == 1 + len(changed)


def test_forty_thousand_titles_take_one_or_two_million_bytes() -> None:
    items, rng = 40_000, np.random.default_rng(0)
    titles = np.array(
        [f"A title of some usual length, {number} (1999)"[: rng.integers(15, 45)] for number in range(items)]
    )
    flags, names = rng.random((items, 18)) < 0.1, tuple(f"genre {number}" for number in range(18))
    large = Catalogue(np.arange(items).astype(np.str_), titles, names, flags, years=np.full(items, 1999))
    assert 1e6 < len(large.to_bytes()) < 2.5e6


Change = Callable[[dict[str, NDArray[Any]]], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("ids/bytes"), "ids/bytes"),
        (lambda a: a.update({"titles/lengths": a["titles/lengths"][:2]}), "lengths say otherwise"),
        (lambda a: a.update({"titles/lengths": np.zeros(0, "<u4"), "titles/bytes": np.zeros(0, "u1")}), "one an item"),
        (lambda a: a.update({"titles/bytes": np.full_like(a["titles/bytes"], 0xFF)}), "utf-8"),
        (lambda a: a.update({"ids/lengths": a["ids/lengths"].astype(np.float32)}), "must be <u4"),
        (lambda a: a.update({"membership": a["membership"][:2]}), "membership must be"),
        (lambda a: a.update({"membership": np.zeros((3, 9), "u1")}), "membership must be"),
        (lambda a: a.update({"years": np.zeros(2, "<i4")}), "years must be"),
        (lambda a: a.update({"vectors/text": np.zeros((2, 2), "<f4")}), "vectors/text must be"),
        (lambda a: a.update({"vectors/text": np.zeros(3, "<f4")}), "vectors/text must be"),
        (lambda a: a.update({"vectors/text": np.full((3, 2), np.nan, "<f4")}), "must be finite"),
        (lambda a: a.update({"vectors/text": np.full((3, 2), np.inf, "<f4")}), "must be finite"),
    ],
)
def test_what_is_no_catalogue_is_refused(change: Change, message: str) -> None:
    arrays = dict(load(FULL.to_bytes()))
    change(arrays)
    with pytest.raises(ValueError, match=message):
        Catalogue.from_bytes(save(arrays))


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=60), place=st.integers(0, len(FULL.to_bytes()) - 1))
def test_other_bytes_raise_nothing_but_a_value_error(data: bytes, place: int) -> None:
    whole = FULL.to_bytes()
    for wrong in (data, whole[:place], whole[:place] + data + whole[place + len(data) :]):
        with suppress(ValueError):
            Catalogue.from_bytes(wrong)


def test_one_long_text_does_not_take_the_memory_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMORY", 4 * 3 * 11)
    with pytest.raises(ValueError, match="too long"):
        Catalogue.from_bytes(FULL.to_bytes())


def test_years_that_are_none_are_unknown_and_those_before_christ_too() -> None:
    odd = replace(FULL, years=np.array([99999, -44, 1995]))
    years = Catalogue.from_bytes(odd.to_bytes()).years
    assert years is not None
    assert years.tolist() == [0, 0, 1995]


def test_a_file_that_is_missing_or_damaged_is_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.* cannot be read"):
        Catalogue.read(tmp_path / "none")
    (tmp_path / "half").write_bytes(FULL.to_bytes()[:-5])
    with pytest.raises(UserError, match="cannot be read"):
        Catalogue.read(tmp_path / "half")
