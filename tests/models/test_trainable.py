"""What holds for every recommender: it learns, needs no padding, works under functional transforms."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from fedkd.data.interactions import Catalogue, Interactions
from fedkd.distillation.pipeline import pretrain
from fedkd.models.autoencoder import Autoencoder
from fedkd.models.base import Recommender, padded_histories, score
from fedkd.models.cnn import CausalCNN
from fedkd.models.ease import fit_ease
from fedkd.models.item_knn import fit_item_knn
from fedkd.models.linear import LowRank
from fedkd.models.popularity import fit_popularity
from fedkd.models.spec import ModelSpec
from fedkd.ragged import Ragged
from fedkd.training.options import StepTraining

CLUSTERS, CLUSTER_SIZE = 4, 6
ITEMS = CLUSTERS * CLUSTER_SIZE
FAMILIES = ["linear", "autoencoder", "cnn"]


def spec(family: str, dropout: float = 0.0) -> ModelSpec:
    return ModelSpec.model_validate({"family": family, "width": 8, "dropout": dropout, "length": 20})


def toy() -> Interactions:
    """Users who each like four of the six items of one cluster; the first cluster is the largest."""
    rng = np.random.default_rng(0)
    tastes = rng.choice(CLUSTERS, 60, p=[0.4, 0.2, 0.2, 0.2])
    rows = [taste * CLUSTER_SIZE + rng.choice(CLUSTER_SIZE, 4, replace=False) for taste in tastes]
    names = np.arange(ITEMS).astype(str)
    return Interactions(np.arange(60).astype(str), Ragged.from_rows(rows, np.int32), Catalogue(names))


def accuracy(model: Recommender, data: Interactions) -> float:
    """Return the share of users' best two unseen items that are of their cluster."""
    scores = score(model, data.histories)
    scores[data.histories.row_index, data.histories.values] = -np.inf
    best = np.argsort(-scores, axis=1)[:, :2] // CLUSTER_SIZE
    taste = data.histories.values[data.histories.indptr[:-1]] // CLUSTER_SIZE
    return float((best == taste[:, None]).mean())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_trained_model_completes_histories_and_beats_popularity(family: str) -> None:
    data, model = toy(), spec(family).build(ITEMS, seed=1)
    assert accuracy(model, data) < 0.6
    pretrain(model, data.histories, StepTraining(steps=150, visible=0.5), np.random.default_rng(0))
    assert accuracy(model, data) > 0.95
    assert accuracy(fit_popularity(data), data) < 0.6


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_overfits_histories_that_it_sees_whole(family: str) -> None:
    data, model = toy(), spec(family).build(ITEMS, seed=1)
    pretrain(model, data.histories, StepTraining(steps=300, learning_rate=0.03), np.random.default_rng(0))
    best = np.argsort(-score(model, data.histories), axis=1)[:, :4]
    hits = np.take_along_axis(data.matrix().toarray(), best, axis=1)
    assert hits.mean() > 0.95


def test_closed_forms_beat_popularity() -> None:
    data = toy()
    assert accuracy(fit_ease(data, 5.0), data) == 1.0
    assert accuracy(fit_item_knn(data, 5, 1.0), data) == 1.0


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_and_neighbours_in_the_batch_have_no_influence(family: str) -> None:
    model = spec(family).build(ITEMS, seed=0).eval()
    rows = Ragged.from_rows([[3, 1, 4, 15, 9], [2], []], np.int32)
    wide = model(padded_histories(rows, ITEMS, 17))
    torch.testing.assert_close(model(padded_histories(rows, ITEMS)), wide)
    for row in range(len(rows)):
        alone = model(padded_histories(rows.take(np.array([row])), ITEMS))
        torch.testing.assert_close(alone[0], wide[row])
    assert torch.isfinite(wide).all()


@pytest.mark.parametrize("family", ["linear", "autoencoder"])
def test_order_does_not_matter_to_bags(family: str) -> None:
    model = spec(family).build(ITEMS, seed=0).eval()
    history = torch.tensor([[5, 7, 2, 11]])
    torch.testing.assert_close(model(history), model(history.flip(-1)))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("family", FAMILIES)
def test_models_work_under_vmap_and_grad(family: str, dropout: float) -> None:
    models: list[nn.Module] = [spec(family, dropout).build(ITEMS, seed) for seed in range(3)]
    parameters, _ = stack_module_state(models)
    histories = torch.randint(0, ITEMS + 1, (3, 4, 7), generator=torch.Generator().manual_seed(0))

    def loss(own: dict[str, Tensor], history: Tensor) -> Tensor:
        scores: Tensor = functional_call(models[0], own, (history,))
        return torch.log_softmax(scores, -1)[:, 0].sum()

    gradients = vmap(grad(loss), randomness="different")(parameters, histories)
    assert {name: g.shape for name, g in gradients.items()} == {name: p.shape for name, p in parameters.items()}
    if dropout == 0:
        for row, model in enumerate(models):
            expected = torch.autograd.grad(loss(dict(model.named_parameters()), histories[row]), model.parameters())
            for (name, _), value in zip(model.named_parameters(), expected, strict=True):
                torch.testing.assert_close(gradients[name][row], value)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_part_of_the_item_tables_is_a_model_of_a_part_of_the_catalogue(family: str) -> None:
    model = spec(family).build(ITEMS, seed=0).eval()
    kept = torch.tensor([3, 5, 8, 13, 21])
    tables = {
        name: p.index_select(model.item_tables[name], kept) if name in model.item_tables else p
        for name, p in model.named_parameters()
    }
    whole = model(torch.tensor([[ITEMS, 5, 21, 8]]))[:, kept]
    part = functional_call(model, tables, (torch.tensor([[5, 1, 4, 2]]),))
    torch.testing.assert_close(part, whole)


@pytest.mark.parametrize("family", FAMILIES)
def test_building_is_deterministic_and_leaves_the_global_generator_alone(family: str) -> None:
    before = torch.get_rng_state()
    first, again, other = (spec(family).build(ITEMS, seed).state_dict() for seed in (4, 4, 5))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_numbers_of_parameters() -> None:
    width, channels = 8, (16, 32)
    assert LowRank(ITEMS, width).size()[0] == 2 * ITEMS * width
    assert Autoencoder(ITEMS, width).size()[0] == 2 * ITEMS * width + width + ITEMS
    convolutions = (3 * width * 16 + 16) + (3 * 16 * 32 + 32)
    assert CausalCNN(ITEMS, width, channels).size()[0] == ITEMS * width + convolutions + ITEMS * 32 + ITEMS


def test_a_low_rank_model_from_factors_scores_their_product() -> None:
    rng = np.random.default_rng(0)
    encoder, decoder = rng.normal(size=(ITEMS, 3)), rng.normal(size=(ITEMS, 3))
    data = toy()
    expected = data.matrix().toarray() @ encoder @ decoder.T
    np.testing.assert_allclose(score(LowRank.from_factors(encoder, decoder), data.histories), expected, rtol=1e-4)


def test_dropout_hides_items_in_training_only() -> None:
    model = spec("linear", dropout=0.5).build(ITEMS, seed=0)
    history = torch.tensor([[1, 2, 3, 4, 5, 6]])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        assert not torch.equal(model.train()(history), model(history))
    assert torch.equal(model.eval()(history), model(history))
