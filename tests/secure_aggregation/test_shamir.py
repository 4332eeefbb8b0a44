"""Any threshold of shares gives the secret, fewer give nothing, wrong ones are found."""

import secrets
from itertools import combinations

import pytest

from fedkd.secure_aggregation.shamir import PRIME, deal, recover, recover_checked


def drawn(threshold: int, holders: int) -> tuple[int, dict[int, int]]:
    chosen = [secrets.randbelow(PRIME) for _ in range(threshold)]
    secret, others = deal(chosen, holders)
    return secret, dict(enumerate([*chosen, *others], 1))


@pytest.mark.parametrize(("threshold", "holders"), [(1, 1), (1, 4), (2, 2), (3, 7), (11, 36), (45, 124)])
def test_the_shares_lie_on_the_polynomial(threshold: int, holders: int) -> None:
    coefficients = [secrets.randbelow(PRIME) for _ in range(threshold)]

    def value(x: int) -> int:
        return sum(c * x**power for power, c in enumerate(coefficients)) % PRIME

    chosen = [value(x) for x in range(1, threshold + 1)]
    assert deal(chosen, holders) == (value(0), [value(x) for x in range(threshold + 1, holders + 1)])


def test_every_choice_of_threshold_shares_gives_the_secret() -> None:
    secret, shares = drawn(4, 8)
    for some in combinations(shares, 4):
        assert recover({x: shares[x] for x in some}) == secret


def test_fewer_shares_fit_every_secret() -> None:
    _, shares = drawn(4, 8)
    known = [shares[1], shares[2], shares[3]]
    for other in (0, 1, secrets.randbelow(PRIME)):
        fourth, _ = deal(
            [*reversed(known), other], 4
        )  # the same polynomial seen from the other end: holders 3, 2, 1, 0
        assert recover({1: known[0], 2: known[1], 3: known[2], 4: fourth}) == other


@pytest.mark.parametrize("wrong", [[1], [5], [1, 2, 3]])
def test_wrong_shares_are_found(wrong: list[int]) -> None:
    secret, shares = drawn(4, 10)
    for x in wrong:
        shares[x] = (shares[x] + 1) % PRIME
    found = recover_checked(shares, 4, lambda one: one == secret)
    assert found is not None
    assert found[0] == secret
    assert sorted(found[1]) in ([], wrong)
    assert (sorted(found[1]) == wrong) == (wrong[0] <= 4)


def test_too_few_sound_shares_give_none() -> None:
    secret, shares = drawn(4, 6)
    assert recover_checked({x: shares[x] for x in (1, 2, 3)}, 4, lambda one: one == secret) is None
    tampered = {x: shares[x] + (x > 3) for x in shares}
    assert recover_checked(tampered, 4, lambda one: one == secret) is None
