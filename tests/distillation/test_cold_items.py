"""Numbers of items that nobody has had, against a ridge regression item by item."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy import sparse

from fedkd.data.catalogue import Catalogue
from fedkd.distillation import cold_items
from fedkd.distillation.cold_items import RIDGE, WORDS, item_content, with_cold_items
from fedkd.distillation.content_prior import era_rows
from fedkd.models.base import score
from fedkd.models.decayed_linear import DecayedLinear, SparseDecayed
from fedkd.models.ease import EASE
from fedkd.models.hashing import hashed
from fedkd.models.linear import LowRank
from fedkd.models.popularity import Popularity
from fedkd.ragged import Ragged

ITEMS, RANK = 12, 3
RNG = np.random.default_rng(3)
FLAGS = np.random.default_rng(7).random((ITEMS, 3)) < 0.5
YEARS = np.array([1995, 0, 1994, 1960, 1999, 2000, 1922, 1995, 0, 1969, 1970, 1985])
TITLES = np.array([f"Part {item % 3}" for item in range(ITEMS)])
CATALOGUE = Catalogue(
    np.arange(ITEMS).astype(str), TITLES, ("a", "b", "c"), FLAGS, {"text": RNG.normal(size=(ITEMS, 2))}, YEARS
)
HAD = np.arange(ITEMS) % 4 != 1
WEIGHTS = RNG.normal(size=(ITEMS, ITEMS)) * HAD


def unit(vector: list[float]) -> list[float]:
    length = np.linalg.norm(vector)
    return [number / length for number in vector] if length else vector


def content_of(item: int) -> list[float]:
    """Write down the content of an item, kind by kind; of categories in eras only those that some item is in."""
    eras = era_rows(YEARS)[:, item]
    there = (FLAGS.T[:, None] * era_rows(YEARS)).any(axis=2)
    both = [float(FLAGS[item, c] * eras[e]) for c in range(3) for e in range(len(eras)) if there[c, e]]
    words = [0.0] * WORDS
    for word in str(TITLES[item]).lower().split():
        words[hashed(word, WORDS)] += 1
    kinds = (eras.tolist(), both, FLAGS[item].astype(float).tolist(), words, CATALOGUE.vectors["text"][item].tolist())
    return [number / 5**0.5 for kind in kinds for number in unit(kind)]


def expected(columns: NDArray[np.floating]) -> NDArray[np.floating]:
    """Regress every row's numbers on the content of the items that somebody has had, by least squares."""
    content = np.array([content_of(item) for item in range(ITEMS)])
    told = np.vstack([content[HAD], RIDGE**0.5 * np.eye(content.shape[1])])
    out = columns.copy()
    for row in out:
        wanted = np.concatenate([row[HAD], np.zeros(content.shape[1])])
        row[~HAD] = content[~HAD] @ np.linalg.lstsq(told, wanted, rcond=None)[0]
    return out


def test_content_is_every_kind_side_by_side() -> None:
    assert_allclose(item_content(CATALOGUE), [content_of(item) for item in range(ITEMS)], atol=1e-6)


def test_a_teacher_gets_columns_by_regression_on_content() -> None:
    teacher = with_cold_items(EASE(WEIGHTS), HAD, CATALOGUE, 0.5)
    assert_allclose(teacher.weights.numpy(), np.where(HAD, 1.0, 0.5) * expected(WEIGHTS), atol=1e-5)
    assert np.abs(teacher.weights.numpy()[:, ~HAD]).max() > 0.01
    assert_array_equal(teacher.weights.numpy()[:, HAD], WEIGHTS[:, HAD].astype(np.float32))


def test_a_student_gets_rows_of_its_decoder_and_needs_no_content() -> None:
    encoder, decoder = RNG.normal(size=(2, ITEMS, RANK))
    student = with_cold_items(LowRank.from_factors(encoder, decoder), HAD, CATALOGUE, 1.0)
    assert_allclose(student.decoder.weight.detach().numpy(), expected(decoder.T).T, atol=1e-5)
    assert_array_equal(student.encoder.weight.detach().numpy(), encoder.astype(np.float32))
    assert list(student.state_dict()) == ["encoder.weight", "decoder.weight"]


def test_a_model_of_what_comes_next_gets_columns_for_every_decay() -> None:
    weights = np.vstack([WEIGHTS, 2 * WEIGHTS])
    teacher = with_cold_items(DecayedLinear(weights, np.array([1.0, 0.1])), HAD, CATALOGUE, 1.0)
    assert_allclose(teacher.weights.numpy(), expected(weights), atol=1e-5)


@pytest.mark.parametrize("block", [1, 256])
def test_a_sparse_model_gets_the_largest_weights_and_grows_by_a_quarter(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cold_items, "_ITEMS", block)
    kept = WEIGHTS * (np.abs(WEIGHTS) > 0.5)
    model = SparseDecayed(sparse.csr_array(kept), np.zeros(1))
    found = with_cold_items(model, HAD, CATALOGUE, 0.5).matrix().toarray()
    assert_array_equal(found[:, HAD], kept[:, HAD].astype(np.float32))
    most = int(0.25 * (kept != 0).sum() / (~HAD).sum())
    assert 1 < most < (kept != 0).sum() / HAD.sum()
    for column, whole in zip(found[:, ~HAD].T, 0.5 * expected(kept)[:, ~HAD].T, strict=True):
        largest = np.argsort(-np.abs(whole))[:most]
        assert_array_equal(np.flatnonzero(column), np.sort(largest))
        assert_allclose(column[largest], whole[largest], atol=1e-6)


@pytest.mark.parametrize("had", [np.ones(ITEMS, bool), np.zeros(ITEMS, bool)])
def test_without_cold_items_or_any_others_nothing_changes(had: NDArray[np.bool_]) -> None:
    assert_array_equal(with_cold_items(EASE(WEIGHTS), had, CATALOGUE, 1.0).weights.numpy(), WEIGHTS.astype(np.float32))


def test_items_without_content_stay_without_numbers() -> None:
    silent = replace(CATALOGUE, titles=None, vectors={}, years=None, membership=FLAGS * HAD[:, None])
    for catalogue in (silent, Catalogue.numbered(ITEMS)):
        assert_array_equal(
            with_cold_items(EASE(WEIGHTS), HAD, catalogue, 1.0).weights.numpy(), WEIGHTS.astype(np.float32)
        )


def test_another_model_stays_as_it_is() -> None:
    model = Popularity(np.arange(ITEMS, dtype=np.float32))
    before = score(model, Ragged.from_rows([[0]], np.int32))
    assert with_cold_items(model, HAD, CATALOGUE, 1.0) is model
    assert_array_equal(score(model, Ragged.from_rows([[0]], np.int32)), before)


def test_who_likes_a_category_is_shown_what_is_new_in_it() -> None:
    kinds = np.arange(40) % 2
    catalogue = Catalogue(np.arange(40).astype(str), None, ("even", "odd"), kinds[:, None] == np.arange(2))
    had = np.arange(40) < 34
    alike = (kinds[:, None] == kinds) * had
    shown = score(with_cold_items(EASE(alike), had, catalogue, 1.0), Ragged.from_rows([[0, 2], [1, 3]], np.int32))
    assert (shown[0, 34::2] > 0.5).all()
    assert (shown[1, 35::2] > 0.5).all()
    assert (shown[0, 35::2] < 0.01).all()
