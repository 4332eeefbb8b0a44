"""Histories read from uploaded item ids, and from what a server sees of one client's answer."""

import numpy as np
import pytest

from fedkd.attacks.counting import (
    answer_attack,
    count_attack,
    f1,
    gap,
    highest,
    intersection_attack,
    panel_scores,
    upload_counts,
)
from fedkd.distillation.residual import UserWeights, answer, item_reference
from fedkd.messages.types import Answers, Kind, LowRankUpdate, Spec
from fedkd.privacy.gaussian import noise_multiplier
from fedkd.privacy.options import PrivacyOptions
from fedkd.ragged import Ragged
from fedkd.random_streams import stream
from fedkd.runs.config import load
from fedkd.runs.federation import federation
from fedkd.testing.protocols import pooled
from fedkd.training.cohort import Cohort

ITEMS = 300


@pytest.fixture(scope="module")
def histories():
    rng = np.random.default_rng(0)
    appeal = 1 / (10 + np.arange(ITEMS))
    rows = [rng.choice(ITEMS, rng.integers(10, 60), replace=False, p=appeal / appeal.sum()) for _ in range(80)]
    return Ragged.from_rows(rows, np.int32)


@pytest.fixture(scope="module")
def reference(histories):
    counts = np.bincount(histories.values, minlength=ITEMS)
    return item_reference(np.argsort(-counts, kind="stable").astype(np.int32), 60, ITEMS)


@pytest.fixture(scope="module")
def answers(histories, reference):
    return answer(histories, np.arange(len(histories)), reference, UserWeights(), ITEMS)


def in_clear(answers: LowRankUpdate, clients: int) -> np.ndarray:
    return np.stack([answers.of(client) for client in range(clients)]).astype(np.float64)


def test_twenty_rounds_of_ptf_fedrec_give_histories_away():
    """The published fact: F1 of .92 after 10 rounds and .98 after 20, where negatives are drawn anew."""
    small = ["dimensions=2", "server-dimensions=2", "local-epochs=1", "server-epochs=1"]
    size = ["data.synthetic.users=60", "data.synthetic.items=1682", "data.synthetic.mean-history=60"]
    config = load(None, [*size, "algorithm.name=ptf-fedrec", *(f"algorithm.{one}" for one in small)])
    together, protocol = federation(config), config.algorithm
    setup = together.setup(config)
    state, everyone = protocol.begin(setup), np.arange(setup.num_clients)
    owner, data = together.held_by(everyone)
    cohort, uploads, found = Cohort(everyone, owner, data, 0, ({},) * len(everyone)), [], {}
    for number in range(1, 21):
        asks = protocol.ask(state, everyone, number, stream(0, "ask", number))
        cohort, answers = protocol.learn(cohort, asks)
        uploads.append(answers.values["item"])
        found[number] = count_attack(uploads, data.train.histories, 1682)
        state, _ = protocol.teach(pooled(protocol, state, asks, answers), stream(0, "teach", number))
    assert found[20].value >= found[20].low >= 0.9
    assert found[1].value < 0.6 < found[10].value < found[20].value
    assert found[20].random < 0.1
    assert intersection_attack(uploads, data.train.histories, 1682).value > 0.6


def test_one_answer_in_clear_is_the_history(histories, reference, answers):
    found = answer_attack(in_clear(answers, 80), reference, histories, ITEMS)
    assert found.value == 1.0
    assert found.random < 0.2


def seen_of_clients(mode: str, answers: LowRankUpdate, epsilon: float) -> np.ndarray:
    options = PrivacyOptions(mode=mode, epsilon=epsilon, delta=1e-5)
    protection = options.planned(80, 1)
    specs = protection.specs({"residual": Spec(Kind.SCORES, (60, ITEMS), clip=300.0)})
    seen = []
    for client in range(80):
        rows = answers.owner == client
        own = LowRankUpdate(answers.left[rows], answers.right[rows], np.zeros(rows.sum(), np.int64))
        released = protection.aggregator(specs).encode(Answers(1, np.array([client]), {"residual": own}))
        seen.append(released.values["residual"])
    return np.stack(seen).astype(np.float64)


@pytest.mark.parametrize("epsilon", [1.0, 8.0])
def test_one_answer_under_local_noise_says_nothing(histories, reference, answers, epsilon):
    found = answer_attack(seen_of_clients("local", answers, epsilon), reference, histories, ITEMS)
    assert found.value <= found.random + 0.02


def test_one_masked_answer_says_nothing(histories, reference):
    masked = np.random.default_rng(0).integers(0, 1 << 32, (80, 60, ITEMS)).astype(np.float64)
    found = answer_attack(masked, reference, histories, ITEMS)
    assert found.value <= found.random + 0.02


def test_a_noised_sum_says_no_more_of_a_client_than_the_sum_of_the_others(histories, reference, answers):
    clear, rng = in_clear(answers, 80), np.random.default_rng(0)
    noise = rng.normal(0, 300 * noise_multiplier(8.0, 1e-5), (60, ITEMS))
    total = clear.sum(axis=0)
    seen = np.broadcast_to(total + noise, clear.shape)
    found = answer_attack(seen, reference, histories, ITEMS, background=total - clear + noise)
    assert found.random > 0.15, "what is popular is no secret"
    assert found.value <= found.random + 0.02


def test_the_gap_is_where_a_plain_search_finds_it():
    rng = np.random.default_rng(0)
    counts = np.where(rng.random((30, 200)) < 0.2, rng.binomial(20, 0.5, (30, 200)), rng.binomial(20, 0.05, (30, 200)))
    for row, split in zip(counts, gap(counts), strict=True):
        seen = row[row > 0]
        spread = {
            at: (seen < at).sum() * (seen >= at).sum() * (seen[seen < at].mean() - seen[seen >= at].mean()) ** 2
            for at in range(2, seen.max() + 1)
            if (seen < at).any()
        }
        assert spread[split] == pytest.approx(max(spread.values()))


def test_counts_of_equal_size_have_no_gap_and_all_uploads_are_named():
    uploads = [Ragged.from_rows([[1, 4], []], np.int32)]
    assert upload_counts(uploads, 6).tolist() == [[0, 1, 0, 0, 1, 0], [0] * 6]
    found = count_attack(uploads, Ragged.from_rows([[1, 4], [2]], np.int32), 6)
    assert found.value == 0.5
    assert found.random == pytest.approx((2 * 2 * 2 / 6 / 4 + 0) / 2)


def test_the_direction_is_the_largest_singular_vector():
    rng = np.random.default_rng(0)
    answers = rng.normal(size=(5, 8, 12)) + 3 * np.outer(np.ones(8), np.arange(12) / 12)
    for scores, matrix in zip(panel_scores(answers), answers, strict=True):
        np.testing.assert_allclose(scores, np.abs(np.linalg.svd(matrix)[2][0]), atol=1e-4)


def test_f1_and_the_highest_of_a_row():
    scores = np.array([[0.3, 0.9, 0.1, 0.9], [0.0, 0.0, 0.0, 1.0]])
    guessed = highest(scores, np.array([2, 1]))
    assert guessed.tolist() == [[False, True, False, True], [False, False, False, True]]
    truth = np.array([[True, True, False, False], [True, False, False, False]])
    assert f1(guessed, truth).tolist() == [0.5, 0.0]
