"""Device profiles: who has which, and in which cohorts clients learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.linear import LinearConfig
from fedkd.training.profiles import ClientOptions, Profile, in_cohorts

SMALL, LARGE = LinearConfig(width=3), AutoencoderConfig(width=9)
TWO = ClientOptions(profiles={"small": Profile(share=3, model=SMALL), "large": Profile(model=LARGE)})


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [8, 10, 40, 943])
def test_shares_are_kept_even_among_few(seed: int, count: int) -> None:
    small = (TWO.dealt(np.arange(count), seed) == "small").sum()
    assert abs(small - 0.75 * count) <= 2


def test_a_profile_depends_on_seed_and_client_alone() -> None:
    whole = TWO.dealt(np.arange(100), 4)
    np.testing.assert_array_equal(TWO.dealt(np.array([3, 17, 99]), 4), whole[[3, 17, 99]])
    assert (TWO.dealt(np.arange(100), 5) != whole).any()


def test_without_profiles_everyone_has_the_student_of_the_algorithm() -> None:
    none = ClientOptions()
    assert none.dealt(np.arange(3), 0).tolist() == ["", "", ""]
    assert none.model(none.dealt(np.arange(3), 0)) is None


def test_a_cohort_has_the_student_of_its_profile() -> None:
    assert TWO.model(np.array(["small", "small"])) == SMALL
    assert TWO.model(np.zeros(0, np.str_)) is None
    assert [*TWO.models(np.array(["small", "large", "small"]))] == [(LARGE, 1), (SMALL, 2)]


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["", "a", "b"]), max_size=30), st.integers(1, 7))
def test_cohorts_have_one_profile_and_hold_everyone_once(profiles: list[str], size: int) -> None:
    clients, names = np.arange(len(profiles), dtype=np.int64) * 2, np.array(profiles, dtype=np.str_)
    found = [*in_cohorts(clients, names, size)]
    assert sorted(np.concatenate([*found, clients[:0]]).tolist()) == clients.tolist()
    assert all(len(group) <= size and len({*names[group // 2]}) == 1 for group in found)
    assert all((np.diff(group) > 0).all() for group in found)
