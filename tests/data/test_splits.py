"""Properties of every kind of split, on data of any shape."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedkd.data.catalogue import Catalogue
from fedkd.data.fold import Fold
from fedkd.data.interactions import Interactions
from fedkd.data.options import SplitOptions
from fedkd.data.sources.base import Loaded
from fedkd.data.splits import split
from fedkd.errors import UserError
from fedkd.ragged import Ragged

KINDS = ("ratio", "leave-last-out", "temporal", "user-disjoint", "cold-items")
ITEMS = 30


def made_up(seed: int, users: int = 40, longest: int = 20) -> Loaded:
    """Return random histories with times that rise within each user, some of them equal."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, longest + 1, users)
    rows = [rng.permutation(ITEMS)[:length] for length in lengths]
    starts = rng.integers(0, 1000, users)
    times = np.concatenate([s + np.cumsum(rng.integers(0, 9, n)) for s, n in zip(starts, lengths, strict=True)])
    catalogue = Catalogue(np.array([f"i{item}" for item in range(ITEMS)]))
    names = np.array([f"u{user}" for user in range(users)])
    data = Interactions(names, Ragged.from_rows(rows, np.int32), catalogue, times)
    return Loaded(data, {}, "made up", "none")


def options(kind: str, **more: float) -> SplitOptions:
    return SplitOptions.model_validate({"kind": kind, **more})


def row_sets(data: Interactions) -> list[set[int]]:
    return [set(row.tolist()) for row in data.histories]


def check_parts(fold: Fold, available: list[set[int]]) -> None:
    """Training and target share nothing, come from what is available, and keep the order of time."""
    for train, history, target, all_of_it in zip(
        row_sets(fold.train), row_sets(fold.history), row_sets(fold.target), available, strict=True
    ):
        assert not history & target
        assert train <= history
        assert history | target == all_of_it
    for part in (fold.train, fold.history, fold.target):
        assert part.times is not None
        rising = np.diff(part.times) >= 0
        assert rising[np.diff(part.histories.row_index) == 0].all()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), longest=st.integers(8, 25), share=st.floats(0.1, 0.5))
def test_parts_are_disjoint_and_cover_everything(kind: str, seed: int, longest: int, share: float) -> None:
    loaded = made_up(seed, longest=longest)
    done = split(loaded, options(kind, test_fraction=share), seed)
    check_parts(done.test, row_sets(loaded.interactions))
    check_parts(done.validation, row_sets(done.test.train))


@pytest.mark.parametrize("kind", ["ratio", "leave-last-out"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.05, 0.4))
def test_nobody_loses_his_last_training_item(kind: str, seed: int, share: float) -> None:
    done = split(made_up(seed, longest=6), options(kind, test_fraction=share, validation_fraction=share), seed)
    for fold in (done.test, done.validation):
        assert fold.train.histories.lengths.min() >= 1
        assert fold.train.fingerprint == fold.history.fingerprint
    assert done.test.target.histories.lengths.min() >= 1


@pytest.mark.parametrize("kind", ["ratio", "user-disjoint", "cold-items"])
def test_equal_seeds_give_equal_splits_and_others_other(kind: str) -> None:
    loaded = made_up(1)
    first, again, other = (split(loaded, options(kind), seed).fingerprint for seed in (5, 5, 6))
    assert first == again != other


def test_the_fingerprint_changes_with_the_data_too() -> None:
    loaded = made_up(1)
    renamed = replace(loaded.interactions, users=np.array([f"w{user}" for user in range(40)]))
    before, after = (
        split(data, options("ratio"), 0).fingerprint for data in (loaded, replace(loaded, interactions=renamed))
    )
    assert before != after


def test_a_ratio_is_kept_for_every_user() -> None:
    loaded = made_up(2)
    target = split(loaded, options("ratio", test_fraction=0.2), 0).test.target
    expected = np.maximum(np.rint(0.2 * loaded.interactions.histories.lengths), 1)
    assert target.histories.lengths.tolist() == expected.astype(int).tolist()


def test_a_ratio_draws_from_everywhere_in_a_history() -> None:
    rows = np.tile(np.arange(10, dtype=np.int32), 400)
    data = Interactions(
        np.array([f"u{user}" for user in range(400)]),
        Ragged(rows, np.arange(0, 4001, 10)),
        Catalogue(np.array([str(item) for item in range(10)])),
    )
    counts = split(Loaded(data, {}, "made up", "none"), options("ratio", test_fraction=0.2), 0).test.target.popularity()
    assert counts.sum() == 800
    assert counts.min() > 45  # 80 each in the mean, with a standard deviation of 8
    assert counts.max() < 115


def test_leave_last_out_keeps_the_last_one_for_test_and_the_one_before_for_validation() -> None:
    loaded = made_up(3, longest=9)
    done = split(loaded, options("leave-last-out"), 0)
    for row, history in enumerate(loaded.interactions.histories):
        assert done.test.target.histories[row].tolist() == history[-1:].tolist()
        assert done.validation.target.histories[row].tolist() == history[:-1][1:][-1:].tolist()
        assert done.test.train.histories[row].tolist() == history[:-1].tolist()


def test_a_temporal_split_trains_on_nothing_later_than_what_it_expects() -> None:
    done = split(made_up(4), options("temporal", test_fraction=0.3), 0)
    for fold in (done.test, done.validation):
        assert fold.train.times is not None
        assert fold.target.times is not None
        assert fold.train.times.max() < fold.target.times.min()
    assert done.test.train.times is not None
    assert done.validation.target.times is not None
    assert done.validation.target.times.max() <= done.test.train.times.max()


def test_late_users_of_a_temporal_split_are_folded_in_with_their_first_items() -> None:
    loaded = made_up(5, users=200)
    fold = split(loaded, options("temporal", test_fraction=0.4, fold_in_fraction=0.5), 0).test
    late = np.flatnonzero(fold.train.histories.lengths == 0)
    assert len(late) > 10
    for user in late:
        whole, known = loaded.interactions.histories[user], fold.history.histories[user]
        assert known.tolist() == whole[: len(known)].tolist()
        assert 1 <= len(known) < len(whole)
        assert abs(len(known) - len(whole) / 2) <= 1
    early = np.flatnonzero(fold.train.histories.lengths > 0)
    assert fold.history.take(early).fingerprint == fold.train.take(early).fingerprint


def test_users_of_a_disjoint_split_are_trained_on_or_tested() -> None:
    loaded = made_up(6)
    done = split(loaded, options("user-disjoint", test_fraction=0.25, fold_in_fraction=0.5), 0)
    tested = done.test.target.histories.lengths > 0
    trained = done.test.train.histories.lengths > 0
    assert tested.sum() == 10
    assert (tested != trained).all()
    validated = done.validation.target.histories.lengths > 0
    assert not (validated & tested).any()
    assert not (validated & (done.validation.train.histories.lengths > 0)).any()
    assert done.validation.history.take(np.flatnonzero(tested)).histories.lengths.sum() == 0


def test_cold_items_are_in_one_part_alone() -> None:
    done = split(made_up(6), options("cold-items", test_fraction=0.2, validation_fraction=0.25), 0)
    tested, validated = (set(fold.target.histories.values.tolist()) for fold in (done.test, done.validation))
    known = set(done.validation.train.histories.values.tolist())
    assert (len(tested), len(validated), len(known)) == (6, 6, 18)
    assert not tested & validated
    assert not known & (tested | validated)
    assert set(done.test.train.histories.values.tolist()) == known | validated


def test_the_official_part_is_kept_as_it_is() -> None:
    loaded = made_up(7)
    marked = np.random.default_rng(0).random(len(loaded.interactions)) < 0.2
    fold = split(replace(loaded, official_test=marked), options("official"), 0).test
    assert fold.target.histories.values.tolist() == loaded.interactions.histories.values[marked].tolist()
    assert fold.train.histories.values.tolist() == loaded.interactions.histories.values[~marked].tolist()


def test_items_only_in_the_test_part_are_counted_and_stay() -> None:
    data = Interactions(
        np.array(["u", "v"]),
        Ragged.from_rows([[0, 1, 3], [0, 1, 2]], np.int32),
        Catalogue(np.array(["a", "b", "c", "d"])),
    )
    done = split(Loaded(data, {}, "made up", "none"), options("leave-last-out"), 0)
    assert done.dropped["items only in the test part"] == 2
    assert done.dropped["test interactions with those items"] == 2
    assert done.test.target.histories.values.tolist() == [3, 2]


def test_a_source_without_an_official_part_or_times_is_refused() -> None:
    loaded = made_up(8)
    with pytest.raises(UserError, match=r"no official split.*split\.kind"):
        split(loaded, options("official"), 0)
    timeless = replace(loaded, interactions=replace(loaded.interactions, times=None))
    with pytest.raises(UserError, match=r"needs times.*data\.time-column"):
        split(timeless, options("temporal"), 0)


def test_a_split_that_leaves_nothing_is_refused() -> None:
    loaded = made_up(9)
    assert loaded.interactions.times is not None
    at_once = replace(loaded.interactions, times=np.zeros_like(loaded.interactions.times))
    with pytest.raises(UserError, match=r"leaves nothing for test"):
        split(replace(loaded, interactions=at_once), options("temporal"), 0)
    pairs = loaded.interactions.where(np.arange(len(loaded.interactions)) < 0)
    with pytest.raises(UserError):
        split(replace(loaded, interactions=pairs), options("ratio"), 0)


def of_lengths(*lengths: int) -> Loaded:
    rows = [np.arange(length) for length in lengths]
    names = np.array([f"u{user}" for user in range(len(lengths))])
    times = np.zeros(sum(lengths), np.int64)
    data = Interactions(names, Ragged.from_rows(rows, np.int32), Catalogue(np.array(list("abcd"))), times)
    return Loaded(data, {}, "made up", "none")


@pytest.mark.parametrize(
    ("kind", "lengths"),
    [("leave-last-out", (2, 2, 2)), ("ratio", (2,) * 9), ("temporal", (2, 3)), ("user-disjoint", (4,))],
)
def test_the_kind_that_an_empty_part_advises_leaves_nothing_empty(kind: str, lengths: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=rf"the {kind} split leaves nothing for \w+; .*split\.kind=") as caught:
        split(of_lengths(*lengths), options(kind), 0)
    (advised,) = re.findall(r"split\.kind=([\w-]+)", str(caught.value))
    for seed in range(5):
        done = split(of_lengths(*lengths), options(advised), seed)
        assert all(len(fold.train) and len(fold.target) for fold in (done.test, done.validation))


def test_data_that_no_kind_can_divide_are_said_to_be_too_few() -> None:
    with pytest.raises(UserError, match="more data are needed: a user with three interactions"):
        split(of_lengths(2, 2), options("leave-last-out"), 0)
