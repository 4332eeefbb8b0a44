from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from fedkd.gate.judgement import Check, Decision, decision, judge
from fedkd.gate.requirements import requirement
from simulations.benchmark.gate import decisions

MET, NOT_MET, UNDECIDED = Decision.MET, Decision.NOT_MET, Decision.UNDECIDED


@dataclass(frozen=True)
class Known:
    """Evidence by name."""

    users: dict[tuple[str, str, str], NDArray[np.float64]] = field(default_factory=dict)
    facts: dict[tuple[str, str], float] = field(default_factory=dict)

    def per_user(self, model: str, metric: str, part: str) -> NDArray[np.float64] | None:
        return self.users.get((model, metric, part))

    def fact(self, model: str, quantity: str) -> float | None:
        return self.facts.get((model, quantity))


def checked(text: str, known: Known) -> Check:
    return judge([requirement(text)], known, 0.95)[0]


def drawn(rng: np.random.Generator, quality: float, users: int = 120) -> Known:
    """Return users whose student truly reaches a share of the teacher's hit rate, as skewed as hits are."""
    luck = rng.random(users)
    teacher, student = (luck < 0.3).astype(float), (rng.random(users) < 0.3 * quality).astype(float)
    return Known({("teacher", "hr@10", ""): teacher, ("student", "hr@10", ""): student})


@pytest.mark.parametrize(
    ("name", "users"),
    [("100.0% of teacher, apart", 250), ("99.5%, rare losses", 120), ("hits, 95% of users", 60), ("like NDCG", 400)],
)
def test_students_that_are_just_at_a_requirement_pass_one_time_in_twenty_at_most(name: str, users: int) -> None:
    found = decisions(name, users, 200, np.random.default_rng(0))
    assert found[MET] <= 0.05  # on the border, the hardest case; Student's bound alone lets 5 to 80 % of these pass
    assert found[UNDECIDED] > 0.85


def test_unmeasured_users_may_be_worse_than_all_that_were_measured() -> None:
    hits = np.resize([1.0, 0.0, 0.0], 120)
    same = Known({("teacher", "hr@10", ""): hits, ("student", "hr@10", ""): hits})
    assert checked("hr@10 >= 0.98 of teacher", same).decision is UNDECIDED
    assert checked("hr@10 >= 0.8 of teacher", same).decision is MET
    everyone = Known({("student", "hr@10", ""): np.ones(30)})
    assert checked("hr@10 >= 0.95", everyone).decision is UNDECIDED
    assert checked("hr@10 <= 0.95", everyone).decision is UNDECIDED


def test_two_hundred_decisions_far_from_the_border_are_right() -> None:
    rng, text = np.random.default_rng(1), "hr@10 >= 0.8 of teacher"
    worse = [checked(text, drawn(rng, 0.5, 2000)).decision for _ in range(100)]
    better = [checked(text, drawn(rng, 1.1, 2000)).decision for _ in range(100)]
    assert MET not in worse
    assert worse.count(NOT_MET) >= 95
    assert NOT_MET not in better
    assert better.count(MET) >= 95


def test_many_requirements_together_pass_no_more_often() -> None:
    rng = np.random.default_rng(2)
    texts = [requirement(text) for text in ("hr@10 >= 0.8 of teacher", "hr@10 >= 0.2", "hr@10 <= 0.9")]
    wrong = sum(decision(judge(texts, drawn(rng, 0.8), 0.95)) is MET for _ in range(200))
    assert wrong <= 0.05 * 200


def test_the_named_number_of_users_decides() -> None:
    pattern = np.array([1.0, 0.0, 0.0, 0.0] * 30)
    known = Known({("student", "hr@10", ""): pattern})
    check = checked("hr@10 >= 0.22", known)
    assert check.decision is UNDECIDED
    assert check.more_users is not None
    whole = np.resize(pattern, len(pattern) + check.more_users + 8)
    assert checked("hr@10 >= 0.22", Known({("student", "hr@10", ""): whole})).decision is MET
    assert checked("hr@10 >= 0.25", known).more_users is None  # exactly there: nothing would decide


def test_facts_have_no_error() -> None:
    known = Known(facts={("student", "bytes"): 300.0, ("teacher", "bytes"): 1000.0})
    assert checked("bytes <= 300", known).decision is MET
    assert checked("bytes <= 299", known).decision is NOT_MET
    assert checked("bytes <= 0.3 of teacher", known).decision is MET
    assert checked("bytes >= 0.31 of teacher", known).decision is NOT_MET


def test_what_was_not_measured_is_undecided_and_said() -> None:
    check = checked("latency-p95-ms <= 1", Known())
    assert check.decision is UNDECIDED
    assert "not measured" in check.sentence()


@pytest.mark.parametrize(
    ("parts", "whole"),
    [((MET, MET), MET), ((MET, UNDECIDED), UNDECIDED), ((UNDECIDED, NOT_MET, MET), NOT_MET)],
)
def test_the_whole_gate_is_as_its_worst_requirement(parts: tuple[Decision, ...], whole: Decision) -> None:
    assert decision([Check(requirement("bytes <= 1"), each) for each in parts]) is whole


def test_margins_and_hopes_are_signed_shares_of_the_bound() -> None:
    low = Known({("student", "ndcg@10", ""): np.resize([0.1, 0.2], 400)})
    passing, failing = checked("ndcg@10 >= 0.1", low), checked("ndcg@10 <= 0.1", low)
    assert passing.margin == pytest.approx(0.442, abs=0.002)
    assert passing.hope > passing.margin
    assert failing.margin < failing.hope < 0
    assert failing.decision is NOT_MET
