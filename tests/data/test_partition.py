"""Partitions: everyone is public or with one client, nobody is lost."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedkd.data.catalogue import Catalogue
from fedkd.data.fold import Fold, Partition
from fedkd.data.interactions import Interactions
from fedkd.data.options import PartitionOptions
from fedkd.data.partition import partition
from fedkd.errors import UserError
from fedkd.ragged import Ragged

KINDS = ("users", "silos", "tastes", "groups")


def two_tastes(users: int, seed: int = 0) -> Fold:
    """Return users who like the first or the second half of 40 items, in turns, and who belong to three shops."""
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(20)[: rng.integers(3, 12)] + 20 * (user % 2) for user in range(users)]
    names = np.array([f"u{user}" for user in range(users)])
    shops = np.array([f"shop{user % 3}" for user in range(users)])
    train = Interactions(
        names, Ragged.from_rows(rows, np.int32), Catalogue(np.array([str(i) for i in range(40)])), None, shops
    )
    return Fold(train, train, train.where(np.zeros(len(train), bool)))


def options(kind: str, **more: float | str) -> PartitionOptions:
    return PartitionOptions.model_validate({"clients": kind, "num_silos": 4, **more})


def check(done: Partition, users: list[int]) -> None:
    """Everyone is public or with exactly one client, and no client is empty."""
    assert sorted([*done.public.tolist(), *done.clients.values.tolist()]) == users
    assert done.clients.lengths.min() >= 1
    assert done.num_clients == len(done.clients)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(users=st.integers(6, 60), seed=st.integers(0, 9999), share=st.floats(0, 0.3), skew=st.floats(0, 3))
def test_each_user_is_public_or_with_one_client(kind: str, users: int, seed: int, share: float, skew: float) -> None:
    done = partition(two_tastes(users), options(kind, public_fraction=share, size_skew=skew), seed)
    check(done, list(range(users)))
    assert len(done.public) == round(share * users)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_deal_equally_and_others_otherwise(kind: str) -> None:
    fold = two_tastes(60)
    first, again, other = (partition(fold, options(kind), seed) for seed in (3, 3, 4))
    assert first.public.tolist() == again.public.tolist() != other.public.tolist()
    assert first.clients.values.tolist() == again.clients.values.tolist() != other.clients.values.tolist()


def test_who_is_public_does_not_depend_on_who_holds_the_others() -> None:
    fold = two_tastes(60)
    public = [partition(fold, options(kind), 3).public.tolist() for kind in KINDS]
    assert all(one == public[0] for one in public)


def test_a_user_may_be_a_client_and_nobody_may_be_public() -> None:
    done = partition(two_tastes(12), options("users", public_fraction=0), 0)
    assert len(done.public) == 0
    assert done.clients.lengths.tolist() == [1] * 12


def test_silos_are_equal_without_skew_and_fall_with_it() -> None:
    fold = two_tastes(100)
    equal = partition(fold, options("silos", public_fraction=0), 0).clients.lengths
    assert equal.tolist() == [25] * 4
    skewed = np.sort(partition(fold, options("silos", public_fraction=0, size_skew=1), 0).clients.lengths)[::-1]
    assert skewed.tolist() == [48, 24, 16, 12]  # 1, 1/2, 1/3, 1/4 of their sum


def test_as_many_silos_as_users_hold_one_each() -> None:
    done = partition(two_tastes(12), options("silos", public_fraction=0, num_silos=12, size_skew=5), 0)
    assert done.clients.lengths.tolist() == [1] * 12


def purity(done: Partition) -> float:
    """Return the share of users who are with the majority taste of their silo."""
    most = [max(int((row % 2 == 0).sum()), int((row % 2 == 1).sum())) for row in done.clients]
    return sum(most) / len(done.clients.values)


def test_small_concentrations_separate_tastes_and_large_ones_mix_them() -> None:
    fold = two_tastes(300)
    pure, mixed = (
        np.mean([purity(partition(fold, options("tastes", concentration=c), seed)) for seed in range(5)])
        for c in (0.02, 1000.0)
    )
    assert pure > 0.75
    assert mixed < 0.65


def test_groups_follow_the_column() -> None:
    done = partition(two_tastes(30), options("groups"), 0)
    assert done.num_clients == 3
    assert [len(set((row % 3).tolist())) for row in done.clients] == [1, 1, 1]


def test_users_with_nothing_belong_to_nobody_and_untrained_ones_are_private() -> None:
    fold = two_tastes(20)
    owner = fold.train.histories.row_index
    train = fold.train.where((owner != 4) & (owner != 5))
    history = fold.train.where(owner != 4)
    done = partition(Fold(train, history, fold.target), options("users", public_fraction=0.5), 0)
    check(done, [user for user in range(20) if user != 4])
    assert 5 in done.clients.values


def test_too_many_silos_no_groups_and_nobody_private_are_refused() -> None:
    fold = two_tastes(10)
    with pytest.raises(UserError, match=r"partition\.num-silos is 50, but there are only 9"):
        partition(fold, options("silos", num_silos=50), 0)
    bare = Fold(*(replace(part, groups=None) for part in (fold.train, fold.history, fold.target)))
    with pytest.raises(UserError, match=r"data\.group-column"):
        partition(bare, options("groups"), 0)
    with pytest.raises(UserError, match=r"partition\.public-fraction 0\.97 .*lower it"):
        partition(fold, options("users", public_fraction=0.97), 0)


def test_public_users_who_are_heavy_at_the_head_have_the_most_popular_items() -> None:
    rows = [[0], [0, 1], [0, 1, 2], [5, 6], [7], [0, 8]]
    names = np.array([f"u{user}" for user in range(6)])
    train = Interactions(names, Ragged.from_rows(rows, np.int32), Catalogue.numbered(9))
    fold = Fold(train, train, train.where(np.zeros(len(train), bool)))
    heavy = PartitionOptions.model_validate({"public-fraction": 0.5, "public-choice": "heavy"})
    for seed in (0, 1):  # mean popularity: 4, 3, 7/3, 1, 1, 5/2
        assert partition(fold, heavy, seed).public.tolist() == [0, 1, 5]


def test_groups_that_do_not_take_part_are_left_out_of_the_same_deal() -> None:
    fold = two_tastes(60)
    whole = partition(fold, options("groups", public_fraction=0.2), 3)
    part = partition(fold, options("groups", public_fraction=0.2, groups=" shop1; shop2"), 3)
    stays = np.flatnonzero(fold.train.groups != "shop0")
    assert part.public.tolist() == np.intersect1d(whole.public, stays).tolist()
    assert sorted(part.clients.values.tolist()) == np.intersect1d(whole.clients.values, stays).tolist()
    assert part.num_clients == 2


def test_groups_that_there_are_not_are_refused() -> None:
    fold = two_tastes(12)
    with pytest.raises(UserError, match="names 1 groups that no user has; write them as"):
        partition(fold, options("users", groups="shop1;shop9"), 0)
    bare = Fold(*(replace(part, groups=None) for part in (fold.train, fold.history, fold.target)))
    with pytest.raises(UserError, match=r"partition\.groups is set, but this source names no group"):
        partition(bare, options("users", groups="shop1"), 0)
