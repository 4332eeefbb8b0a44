"""What every step does to the scores of a few histories."""

import numpy as np
import pytest

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.errors import UserError
from fedkd.evaluation.metrics import DEPTH, top_items
from fedkd.lists.adjustment import Adjustment, check
from fedkd.lists.base import Asked, Scores, standardised
from fedkd.lists.cold_items import content
from fedkd.lists.options import ListOptions
from fedkd.lists.table import LIST_STEPS
from fedkd.ragged import Ragged

MEMBERSHIP = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 0]], bool)
SCORES = np.array([[0.9, 0.8, 0.7, 0.6, 0.1, 0.0], [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]], np.float32)
HISTORIES = Ragged.from_rows([[0], [4, 5]], np.int32)
NOBODY = Ragged.from_rows([[], []], np.int32)


def public(*histories: list[int], catalogue: Catalogue | None = None) -> Interactions:
    items = catalogue or Catalogue(np.arange(6).astype(np.str_), None, ("a", "b"), MEMBERSHIP)
    return Interactions(np.arange(len(histories)).astype(np.str_), Ragged.from_rows(histories, np.int32), items)


PUBLIC = public([3, 2], [3], [3, 2, 1])


def learnt(*steps: str, known: Interactions = PUBLIC) -> Adjustment:
    return Adjustment.learn(tuple(map(LIST_STEPS.made, steps)), known)


def listed(adjustment: Adjustment, histories: Ragged = HISTORIES, left_out: Ragged = HISTORIES) -> list[list[int]]:
    found: list[list[int]] = top_items(adjustment(SCORES, Asked(histories, left_out)), left_out, 4).tolist()
    return found


def test_nothing_is_changed_without_steps() -> None:
    assert np.array_equal(Adjustment()(SCORES, Asked(HISTORIES, HISTORIES)), SCORES)


def test_somebody_without_a_history_gets_what_is_popular() -> None:
    assert listed(learnt("cold-users"), NOBODY, NOBODY)[0] == [3, 2, 1, 0]


@pytest.mark.parametrize(("strength", "first"), [(0.01, 0), (100.0, 3)])
def test_the_prior_counts_as_so_many_items(strength: float, first: int) -> None:
    assert listed(learnt(f"cold-users:strength={strength}"), HISTORIES, NOBODY)[0][0] == first
    step, asked = learnt(f"cold-users:strength={strength}"), Asked(HISTORIES, NOBODY)
    prior = standardised(np.log1p(np.array([0, 1, 2, 3, 0, 0.0])))
    items = np.array([[1.0], [2.0]])
    expected = (items * standardised(SCORES) + strength * prior) / (items + strength)
    np.testing.assert_allclose(step(SCORES, asked), expected, rtol=1e-5)


def test_long_histories_stay_as_they_are() -> None:
    after = learnt("cold-users:until=2")(SCORES, Asked(HISTORIES, NOBODY))
    assert after[0].argmax() == 3
    np.testing.assert_allclose(after[1], standardised(SCORES)[1], rtol=1e-6)


def test_an_unknown_item_like_the_history_rises() -> None:
    known = public([0, 3], [3], [2, 3])
    before, after = SCORES, learnt("cold-items:weight=2", known=known)(SCORES, Asked(HISTORIES, NOBODY))
    gained = standardised(after) - standardised(before)
    assert gained[0, 1] > gained[0, 4]  # neither has had a public user, and item 1 is like item 0, which is the history
    assert gained[1, 4] > gained[1, 1]
    few = learnt("cold-items:weight=2", known=public([1]))(SCORES, Asked(HISTORIES, NOBODY))
    many = learnt("cold-items:weight=2", known=public(*[[1]] * 50))(SCORES, Asked(HISTORIES, NOBODY))
    assert few[0, 1] > many[0, 1]


def test_content_has_every_kind_in_equal_parts() -> None:
    vectors = {"text": np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)}
    catalogue = Catalogue(np.array(["x", "y"]), None, ("a",), np.array([[True], [True]]), vectors)
    np.testing.assert_allclose(content(catalogue), [[0.5**0.5, 0.6 * 0.5**0.5, 0.8 * 0.5**0.5], [1, 0, 0]], rtol=1e-6)


def test_diverse_lists_mix_categories_and_keep_the_scores() -> None:
    diverse = learnt("diverse:weight=0.5")
    assert listed(diverse, HISTORIES, NOBODY)[0][:2] == [0, 3]
    changed = diverse(SCORES, Asked(HISTORIES, NOBODY))
    assert np.array_equal(np.sort(changed), np.sort(SCORES))
    assert np.array_equal(learnt("diverse:weight=0")(SCORES, Asked(HISTORIES, NOBODY)), SCORES)


def test_diversity_follows_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    membership = rng.random((60, 5)) < 0.4
    catalogue = Catalogue(np.arange(60).astype(np.str_), None, tuple("abcde"), membership)
    scores, seen = rng.normal(size=(3, 60)).astype(np.float32), Ragged.from_rows([[1, 2], [], [5]], np.int32)
    step = learnt("diverse:weight=0.4,among=30", known=public([0], catalogue=catalogue))
    found = top_items(step(scores, Asked(seen, seen)), seen, DEPTH)
    norms = np.linalg.norm(membership, axis=1, keepdims=True)
    unit = membership / np.maximum(norms, 1e-9)
    for row in range(3):
        left = top_items(scores, seen, 30)[row].tolist()
        worth = {
            i: (scores[row, i] - scores[row, left[-1]]) / (scores[row, left[0]] - scores[row, left[-1]]) for i in left
        }
        picked: list[int] = []
        while len(picked) < DEPTH:
            near = {i: np.mean([unit[i] @ unit[j] for j in picked]) if picked else 0.0 for i in left}
            picked.append(max(left, key=lambda i: 0.6 * worth[i] - 0.4 * near[i]))
            left.remove(picked[-1])
        assert found[row].tolist() == picked


def test_what_is_left_out_is_no_candidate() -> None:
    all_but_two = Ragged.from_rows([[0, 1, 2, 3], [2, 3, 4, 5]], np.int32)
    assert listed(learnt("diverse:weight=0.9"), all_but_two, all_but_two) == [[4, 5, -1, -1], [1, 0, -1, -1]]
    everything = Ragged.from_rows([range(6), range(6)], np.int32)
    assert listed(learnt("diverse"), everything, everything) == [[-1] * 4] * 2


def test_steps_follow_each_other_and_are_restored() -> None:
    names = ("cold-users:strength=2", "cold-items", "diverse:weight=0.5")
    step, asked = learnt(*names), Asked(HISTORIES, HISTORIES)
    again = Adjustment.restore(tuple(map(LIST_STEPS.made, names)), step.arrays())
    assert np.array_equal(step(SCORES, asked), again(SCORES, asked))
    alone = learnt(names[2])(learnt(names[1])(learnt(names[0])(SCORES, asked), asked), asked)
    assert np.array_equal(step(SCORES, asked), alone)


def test_a_scorer_may_be_shown_a_part_of_a_history() -> None:
    seen: list[list[list[int]]] = []

    def scorer(histories: Ragged, users: np.ndarray) -> Scores:
        seen.append([histories[row].tolist() for row in range(len(histories))])
        return SCORES[users]

    shown = Ragged.from_rows([[9], [8]], np.int32)
    Adjustment().of(scorer, shown)(HISTORIES, np.array([1, 0]))
    Adjustment().of(scorer)(HISTORIES, np.array([0, 1]))
    assert seen == [[[8], [9]], [[0], [4, 5]]]


@pytest.mark.parametrize("step", [*LIST_STEPS], ids=lambda step: step.label())
def test_what_a_step_lacks_is_said_with_its_name(step: type) -> None:
    bare = public(catalogue=Catalogue(np.arange(6).astype(np.str_)))
    with pytest.raises(UserError, match=rf"{step.label()} needs .*; or leave {step.label()} out of lists.steps"):
        check([LIST_STEPS.made(step.label())], bare)
    check([LIST_STEPS.made(step.label())], PUBLIC)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("divers", "there is no list step 'divers', did you mean diverse; allowed are cold-users, cold-items, diverse"),
        ("diverse:weigth=1", "weigth is no setting; its settings are weight, among"),
        ("cold-users:strength=-1", "strength Input should be greater than 0"),
    ],
)
def test_a_step_that_cannot_be_read_is_explained(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        LIST_STEPS.made(text)


def test_text_holds_several_steps() -> None:
    assert [step.kind for step in ListOptions(steps=" diverse ; cold-users:strength=2 ").read] == [
        "diverse",
        "cold-users",
    ]  # type: ignore[arg-type]
