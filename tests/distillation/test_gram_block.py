"""The noised block against naive computation, and between its two ends: the public users alone, and the sum."""

from dataclasses import replace

import numpy as np

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.distillation.content_prior import content_rows
from fedkd.distillation.gram_block import CONTENT, block_answer, posterior, protected_gram, unit_rows
from fedkd.ragged import Ragged

ITEMS, PANEL = 12, np.array([3, 0, 7, 5, 9], np.int32)


def histories(users: int, seed: int) -> Ragged:
    rng = np.random.default_rng(seed)
    return Ragged.from_rows(
        [np.sort(rng.choice(ITEMS, rng.integers(1, 9), replace=False)) for _ in range(users)], np.int32
    )


def dense(rows: Ragged) -> np.ndarray:
    out = np.zeros((len(rows), ITEMS))
    out[rows.row_index, rows.values] = 1.0
    return out


def interactions(users: int, seed: int) -> Interactions:
    return Interactions(np.arange(users).astype(str), histories(users, seed), Catalogue.numbered(ITEMS))


def test_a_client_answers_with_its_normalised_block() -> None:
    rows, owner = histories(6, 0), np.array([0, 1, 1, 1, 2, 3])
    answered = block_answer(rows, owner, PANEL, ITEMS)
    for client in range(4):
        blocks = []
        for x in dense(rows)[owner == client][:, PANEL]:
            blocks.append(np.outer(x, x) / (x @ x) if x.any() else np.zeros((5, 5)))
        np.testing.assert_allclose(answered.of(client), np.mean(blocks, axis=0))
        assert np.linalg.norm(answered.of(client)) <= 1 + 1e-12


def test_no_noise_takes_the_sum_and_endless_noise_the_public() -> None:
    units = dense(histories(20, 1))[:, PANEL]
    units /= np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-12)
    pooled = np.diag(np.arange(5.0)) + 1
    np.testing.assert_allclose(posterior(pooled, units, 4.0, 0.0), pooled, atol=1e-9)
    np.testing.assert_allclose(posterior(pooled, units, 4.0, np.inf), 4 * units.T @ units, atol=1e-9)


def test_without_noise_the_gram_matrix_is_public_and_private_together() -> None:
    public = interactions(40, 2)
    pooled = sum(np.outer(x, x) / (x @ x) for x in dense(histories(30, 3))[:, PANEL] if x.any())
    found = protected_gram(pooled, PANEL, public, 30, 0.0).dense()
    rows = dense(public.histories) / np.sqrt(public.histories.lengths)[:, None]
    known = rows.T @ rows
    units = dense(public.histories)[:, PANEL]
    units = units / np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-12)
    expected = (1 + 30 / 40) * known
    scale = np.trace(known[np.ix_(PANEL, PANEL)]) / np.trace(units.T @ units)
    expected[np.ix_(PANEL, PANEL)] = known[np.ix_(PANEL, PANEL)] + scale * pooled
    values, vectors = np.linalg.eigh(expected)
    np.testing.assert_allclose(found, (vectors * values.clip(0)) @ vectors.T, atol=1e-8)


def test_the_estimate_is_nearer_the_truth_than_public_users_or_the_noisy_sum() -> None:
    rng = np.random.default_rng(4)
    public, private = dense(histories(30, 5))[:, PANEL], dense(histories(900, 6))[:, PANEL]
    units = public / np.maximum(np.linalg.norm(public, axis=1, keepdims=True), 1e-12)
    own = private / np.maximum(np.linalg.norm(private, axis=1, keepdims=True), 1e-12)
    truth = own.T @ own
    errors = np.zeros(3)
    for _ in range(50):
        noisy = truth + rng.normal(0, 8.0, truth.shape)
        guess = posterior(noisy, units, 30.0, 8.0)
        for i, other in enumerate((guess, (noisy + noisy.T) / 2, 30.0 * units.T @ units)):
            errors[i] += np.linalg.norm(other - truth) ** 2
    assert errors[0] < errors[1]
    assert errors[0] < errors[2]


def test_content_joins_the_gram_matrix_with_a_share_of_everyones_weight() -> None:
    plain, pooled = interactions(40, 2), np.zeros((5, 5))
    rng = np.random.default_rng(7)
    flags, years = rng.random((ITEMS, 3)) < 0.4, rng.integers(1960, 2000, ITEMS)
    catalogue = replace(plain.catalogue, categories=("a", "b", "c"), membership=flags, years=years)
    public = replace(plain, catalogue=catalogue)
    without = protected_gram(pooled, PANEL, plain, 30, np.inf).dense()
    rows = content_rows(public, CONTENT * 70)
    found = protected_gram(pooled, PANEL, public, 30, np.inf).dense()
    np.testing.assert_allclose(found, without + rows.T @ rows, atol=1e-8)


def test_what_public_users_show_is_matched_to_the_popularity_that_was_released():
    """With much noise the Gram matrix is that of the public users, items scaled to how popular they really are."""
    public, panel = interactions(9, seed=4), np.arange(ITEMS, dtype=np.int32)
    rows = unit_rows(public).toarray()
    known = 11 * rows.sum(axis=0)  # 9 public users and 90 private ones like them
    popularity = known * np.linspace(0.5, 2.0, public.num_items)
    pooled = np.zeros((ITEMS, ITEMS))
    plain = protected_gram(pooled, panel, public, 90, 1e9).dense()
    np.testing.assert_allclose(protected_gram(pooled, panel, public, 90, 1e9, known).dense(), plain, atol=1e-6)
    scale = np.sqrt(np.linspace(0.5, 2.0, public.num_items))
    scale[rows.sum(axis=0) == 0] = 1.0
    expected = 11 * (rows * scale).T @ (rows * scale)
    np.testing.assert_allclose(protected_gram(pooled, panel, public, 90, 1e9, popularity).dense(), expected, atol=1e-6)
