"""The synthetic data set: contracts, statistics, and the order of models that it is calibrated for."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from fedkd.data.interactions import Interactions
from fedkd.data.sources.synthetic import OPENING, SyntheticOptions, generate
from fedkd.data.sources.synthetic_content import draw_shelf
from fedkd.errors import UserError
from fedkd.random_streams import stream


@pytest.mark.parametrize(
    ("users", "items", "mean"), [(10, 20, 3), (10, 20, 16), (50, 23, 5), (10, 500, 60), (300, 20, 4)]
)
def test_sizes_odd_and_even_keep_the_contract(users: int, items: int, mean: float) -> None:
    data = generate(SyntheticOptions(users=users, items=items, mean_history=mean))
    assert (data.num_users, data.num_items, len(data.histories)) == (users, items, users)
    assert data.histories.values.dtype == np.int32
    assert data.matrix().max() == 1
    assert data.matrix().nnz == len(data)
    assert data.histories.lengths.min() >= 2
    assert data.times is not None
    assert data.times.dtype == np.dtype(np.int64)
    assert len(data.times) == len(data)


def test_a_history_longer_than_the_catalogue_is_refused() -> None:
    with pytest.raises(UserError, match=r"mean-history is 60.*only 50 items.*at most 40"):
        generate(SyntheticOptions(users=10, items=50, mean_history=60))


def test_equal_seeds_give_equal_data_and_others_other() -> None:
    first, again, other = (generate(SyntheticOptions(users=40, items=60, mean_history=9, seed=s)) for s in (3, 3, 4))
    assert first.fingerprint == again.fingerprint != other.fingerprint


@pytest.fixture(scope="module")
def data() -> Interactions:
    return generate(SyntheticOptions(seed=1))


def test_statistics_look_like_a_shop(data: Interactions) -> None:
    lengths, popularity = data.histories.lengths, np.sort(data.popularity())
    gini = 1 - 2 * np.mean(np.cumsum(popularity) / popularity.sum())
    assert lengths.mean() == pytest.approx(60, rel=0.01)
    assert lengths.min() >= 12
    assert 0.55 < np.median(lengths) / lengths.mean() < 0.85
    assert 0.3 < gini < 0.6
    assert data.groups is not None
    assert len(np.unique(data.groups)) == 12


def test_time_rises_within_a_user_and_nobody_meets_an_item_before_its_birth(data: Interactions) -> None:
    assert data.times is not None
    same_user = np.diff(data.histories.row_index) == 0
    assert np.all(np.diff(data.times)[same_user] > 0)
    assert data.times.min() >= OPENING
    birth = draw_shelf(data.num_items, stream(1, "synthetic", "items")).birth
    assert (birth > 0).mean() == pytest.approx(0.3, abs=0.07)
    assert np.all(data.times >= OPENING + birth[data.histories.values])


def _persistence(data: Interactions, order: NDArray[np.int64]) -> float:
    """Return how often an item shares a genre with the one before it in the same history."""
    genres = data.catalogue.membership[data.histories.values[order]]
    same_user = np.diff(data.histories.row_index) == 0
    return float((genres[1:] & genres[:-1]).any(1)[same_user].mean())


def test_genres_persist_and_shuffling_kills_it(data: Interactions) -> None:
    chance = np.lexsort((np.random.default_rng(0).random(len(data)), data.histories.row_index))
    assert _persistence(data, np.arange(len(data))) > 0.4 > 0.3 > _persistence(data, chance)


def test_tastes_drift() -> None:
    """The genres of a user's first third say more of their second third than of their last."""
    data = generate(SyntheticOptions(users=3000, seed=1))
    position = (np.arange(len(data)) - data.histories.indptr[data.histories.row_index]) * 3
    third = position // data.histories.lengths[data.histories.row_index]
    profile = np.zeros((3, data.num_users, len(data.catalogue.categories)))
    np.add.at(profile, (third, data.histories.row_index), data.catalogue.membership[data.histories.values])
    profile /= np.linalg.norm(profile, axis=-1, keepdims=True)
    near, far = (profile[0] * profile[1]).sum(-1).mean(), (profile[0] * profile[2]).sum(-1).mean()
    assert near > far + 0.01


@pytest.mark.parametrize("modality", ["text", "image"])
def test_content_tells_what_is_taken_together(data: Interactions, modality: str) -> None:
    vectors, matrix = data.catalogue.vectors[modality], data.matrix(np.float64)
    together = np.asarray((matrix.T @ matrix).todense()) / np.sqrt(np.outer(data.popularity(), data.popularity()))
    upper = np.triu_indices(data.num_items, 1)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert np.corrcoef((vectors @ vectors.T)[upper], together[upper])[0, 1] > 0.1


def test_the_catalogue_can_be_read(data: Interactions) -> None:
    titles, membership = data.catalogue.titles, data.catalogue.membership
    assert titles is not None
    assert len(set(titles)) == len(set(data.catalogue.ids)) == data.num_items
    assert all(any(vowel in title.lower() for vowel in "aeiou") for title in titles)
    assert membership.shape == (data.num_items, len(data.catalogue.categories))
    assert set(membership.sum(1)) == {1, 2}


def test_communities_share_tastes(data: Interactions) -> None:
    matrix = data.matrix(np.float64).toarray()
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    assert data.groups is not None
    alike = data.groups[:, None] == data.groups
    cosine = matrix @ matrix.T
    others = ~np.eye(len(matrix), dtype=bool)
    assert cosine[alike & others].mean() > 1.3 * cosine[~alike].mean()


def _halves(data: Interactions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return train and test matrices of a random 80/20 split of every history."""
    held_out = np.random.default_rng(0).random(len(data)) < 0.2
    return data.where(~held_out).matrix(np.float64).toarray(), data.where(held_out).matrix(np.float64).toarray()


def _ndcg(scores: NDArray[np.float64], train: NDArray[np.float64], test: NDArray[np.float64], k: int = 10) -> float:
    top = np.argsort(-np.where(train > 0, -np.inf, scores), axis=1, kind="stable")[:, :k]
    discount = 1 / np.log2(np.arange(2, k + 2))
    size = test.sum(1).astype(int)
    gain = (np.take_along_axis(test, top, 1) * discount).sum(1)
    return float((gain[size > 0] / np.cumsum(discount)[np.minimum(size[size > 0], k) - 1]).mean())


def _ease(gram: NDArray[np.float64], l2: float) -> NDArray[np.float64]:
    inverse = np.linalg.inv(gram + l2 * np.eye(len(gram)))
    return np.asarray(np.eye(len(gram)) - inverse / np.diag(inverse))


def _undistilled(train: NDArray[np.float64], test: NDArray[np.float64], rank: int) -> float:
    """Return the best NDCG that ``x A C^T`` reaches on its way, trained on hard labels with dropout of the input.

    Stopping where the test is best flatters it: the comparison errs on its side.
    """
    generator = torch.Generator().manual_seed(0)
    own = torch.from_numpy(train).float()
    inputs = own / own.sum(1, keepdim=True).clamp(min=1).sqrt()
    factors = [torch.randn(train.shape[1], rank, generator=generator).mul_(0.1).requires_grad_() for _ in range(2)]
    optimiser = torch.optim.Adam(factors, 0.03)
    reached = []
    for step in range(1, 201):
        hidden = 2 * inputs * (torch.rand(own.shape, generator=generator) < 0.5)
        loss = functional.cross_entropy(hidden @ factors[0] @ factors[1].T, own / own.sum())
        for factor, gradient in zip(factors, torch.autograd.grad(loss, factors), strict=True):
            factor.grad = gradient
        optimiser.step()
        if step % 25 == 0:
            scores = (inputs @ factors[0] @ factors[1].T).detach().numpy()
            reached.append(_ndcg(scores.astype(np.float64), train, test))
    return max(reached)


def _ladder(seed: int) -> list[float]:
    """Return NDCG@10 of teacher, distilled student, undistilled student and popularity, and of the public teacher."""
    train, test = _halves(generate(SyntheticOptions(seed=seed)))
    gram = train.T @ train
    weights = _ease(gram, 300)
    directions = np.linalg.eigh(weights.T @ gram @ weights)[1][:, -8:]
    few = train[: len(train) // 10]
    return [
        _ndcg(train @ weights, train, test),
        _ndcg(train @ weights @ directions @ directions.T, train, test),
        _undistilled(train, test, 8),
        _ndcg(np.tile(train.sum(0), (len(train), 1)), train, test),
        _ndcg(train @ _ease(few.T @ few, 100), train, test),
    ]


def test_distillation_pays() -> None:
    """Teacher > distilled > undistilled > popularity in every data set; margins, which vary by seed, on average."""
    teacher, distilled, undistilled, popularity, public = np.array([_ladder(seed) for seed in range(3)]).T
    assert np.all((teacher > distilled) & (distilled > undistilled) & (undistilled > popularity))
    assert np.mean(teacher / distilled) > 1.03
    assert np.mean(distilled / undistilled) > 1.03
    assert np.mean(undistilled / popularity) > 1.4
    assert np.mean(teacher / public) > 1.15
    assert np.mean(public / popularity) > 1.15
