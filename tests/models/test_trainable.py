"""What holds for every recommender: it learns, needs no padding, works under functional transforms."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.distillation.pipeline import pretrain
from fedkd.models.autoencoder import Autoencoder
from fedkd.models.base import ModelConfig, Recommender, score
from fedkd.models.cnn import CausalCNN
from fedkd.models.ease import fit_ease
from fedkd.models.item_knn import fit_item_knn
from fedkd.models.linear import LowRank
from fedkd.models.popularity import fit_popularity
from fedkd.models.table import MODELS
from fedkd.testing.models import check_model, toy_histories
from fedkd.training.options import StepTraining

CLUSTERS, CLUSTER_SIZE = 4, 6
ITEMS = CLUSTERS * CLUSTER_SIZE
CATALOGUE = Catalogue.numbered(ITEMS)
FAMILIES = MODELS.names


def spec(family: str, dropout: float = 0.0) -> ModelConfig:
    return MODELS.find(family).model_validate({"width": 8, "dropout": dropout})


def toy() -> Interactions:
    """Users who each like four of the six items of one cluster; the first cluster is the largest."""
    return Interactions(np.arange(60).astype(str), toy_histories(ITEMS), CATALOGUE)


def accuracy(model: Recommender, data: Interactions) -> float:
    """Return the share of users' best two unseen items that are of their cluster."""
    scores = score(model, data.histories)
    scores[data.histories.row_index, data.histories.values] = -np.inf
    best = np.argsort(-scores, axis=1)[:, :2] // CLUSTER_SIZE
    taste = data.histories.values[data.histories.indptr[:-1]] // CLUSTER_SIZE
    return float((best == taste[:, None]).mean())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_trained_model_completes_histories_and_beats_popularity(family: str) -> None:
    data, model = toy(), spec(family).build(CATALOGUE, seed=1)
    assert accuracy(model, data) < 0.6
    pretrain(model, data.histories, StepTraining(steps=50, visible=0.5, learning_rate=0.03), np.random.default_rng(0))
    assert accuracy(model, data) > 0.95
    assert accuracy(fit_popularity(data), data) < 0.6


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_conforms(family: str) -> None:
    check_model(spec(family), CATALOGUE)


@pytest.mark.parametrize("family", FAMILIES)
def test_dropout_works_under_vmap(family: str) -> None:
    models: list[nn.Module] = [spec(family, 0.5).build(CATALOGUE, seed) for seed in range(3)]
    parameters, _ = stack_module_state(models)
    histories = torch.randint(0, ITEMS + 1, (3, 4, 7), generator=torch.Generator().manual_seed(0))

    def loss(own: dict[str, Tensor], history: Tensor) -> Tensor:
        scores: Tensor = functional_call(models[0], own, (history,))
        return torch.log_softmax(scores, -1)[:, 0].sum()

    gradients = vmap(grad(loss), randomness="different")(parameters, histories)
    assert {name: g.shape for name, g in gradients.items()} == {name: p.shape for name, p in parameters.items()}


def test_closed_forms_beat_popularity() -> None:
    data = toy()
    assert accuracy(fit_ease(data, 5.0), data) == 1.0
    assert accuracy(fit_item_knn(data, 5, 1.0), data) == 1.0


@pytest.mark.parametrize("family", ["linear", "autoencoder"])
def test_order_does_not_matter_to_bags(family: str) -> None:
    model = spec(family).build(CATALOGUE, seed=0).eval()
    history = torch.tensor([[5, 7, 2, 11]])
    torch.testing.assert_close(model(history), model(history.flip(-1)))


def test_numbers_of_parameters() -> None:
    width, channels = 8, (16, 32)
    assert LowRank(CATALOGUE, width).size()[0] == 2 * ITEMS * width
    assert Autoencoder(CATALOGUE, width).size()[0] == 2 * ITEMS * width + width + ITEMS
    convolutions = (3 * width * 16 + 16) + (3 * 16 * 32 + 32)
    assert CausalCNN(CATALOGUE, width, channels).size()[0] == ITEMS * width + convolutions + ITEMS * 32 + ITEMS


def test_a_low_rank_model_from_factors_scores_their_product() -> None:
    rng = np.random.default_rng(0)
    encoder, decoder = rng.normal(size=(ITEMS, 3)), rng.normal(size=(ITEMS, 3))
    data = toy()
    expected = data.matrix().toarray() @ encoder @ decoder.T
    np.testing.assert_allclose(score(LowRank.from_factors(encoder, decoder), data.histories), expected, rtol=1e-4)


def test_dropout_hides_items_in_training_only() -> None:
    model = spec("linear", dropout=0.5).build(CATALOGUE, seed=0)
    history = torch.tensor([[1, 2, 3, 4, 5, 6]])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        assert not torch.equal(model.train()(history), model(history))
    assert torch.equal(model.eval()(history), model(history))
