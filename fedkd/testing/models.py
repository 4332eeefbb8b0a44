"""The conformance suite for model families: call ``check_model`` in a test of your own model."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap

from fedkd.data.catalogue import Catalogue
from fedkd.distillation.pipeline import pretrain
from fedkd.errors import UserError
from fedkd.models.arrays import load_arrays, stored_arrays, stored_tensors
from fedkd.models.base import ModelConfig, Recommender, padded_histories, score
from fedkd.ragged import Ragged
from fedkd.training.options import StepTraining

CLUSTERS = 4
"""Tastes of the toy set's users."""


def check_model(config: ModelConfig, catalogue: Catalogue) -> None:
    """Check everything that the package expects of a family of models.

    Parameters
    ----------
    config : ModelConfig
        Small settings of the family, without dropout.
    catalogue : Catalogue
        At least 8 items; some 24 are quick, and those are all that the toy set uses.

    Raises
    ------
    AssertionError
        What the family does not do, in words.
    """
    check_seeds(config, catalogue)
    model = config.build(catalogue, seed=0).eval()
    check_scores(model)
    check_padding(model)
    check_parts(model)
    check_item_tables(model)
    check_features(model)
    check_size(model)
    check_storage(config, catalogue)
    check_transforms(config, catalogue)
    check_overfits(config.build(catalogue, seed=1))


def check_seeds(config: ModelConfig, catalogue: Catalogue) -> None:
    """Check that equal seeds give equal numbers, others other ones, and torch's own generator stays untouched."""
    before = torch.get_rng_state()
    first, again, other = (config.build(catalogue, seed).state_dict() for seed in (4, 4, 5))
    assert torch.equal(torch.get_rng_state(), before), "building draws from torch's own generator outside build()"
    assert first.keys() == again.keys() == other.keys(), "models of equal settings have other parts"
    assert all(torch.equal(first[name], again[name]) for name in first), "equal seeds give other numbers"
    assert any(not torch.equal(first[name], other[name]) for name in first), "other seeds give equal numbers"


def check_scores(model: Recommender) -> None:
    """Check shapes and types of scores and hidden features, for several histories, short ones and an empty one."""
    rows = _histories(model)
    batch = padded_histories(rows, model.num_items)
    for name, out, width in (("forward", model(batch), model.num_items), ("hidden", model.hidden(batch), None)):
        assert out.dtype == torch.float32, f"{name} gives {out.dtype}, not float32"
        assert out.ndim == 2, f"{name} has shape {tuple(out.shape)}, not [batch, ...] of two axes"
        assert len(out) == len(rows), f"{name} gives {len(out)} rows for {len(rows)} histories"
        assert width in (None, out.shape[1]), f"{name} gives {out.shape[1]} columns for {width} items"
        assert torch.isfinite(out).all(), f"{name} gives NaN or infinite values"


def check_padding(model: Recommender) -> None:
    """Check that neither padding on the left nor the other histories of a batch change any score."""
    rows, items = _histories(model), model.num_items
    wide = model(padded_histories(rows, items, 17))
    torch.testing.assert_close(
        model(padded_histories(rows, items)), wide, msg=_told("padding on the left changes scores")
    )
    for row in range(len(rows)):
        alone = model(padded_histories(rows.take(np.array([row])), items))
        torch.testing.assert_close(alone[0], wide[row], msg=_told("other histories of the batch change scores"))


def check_parts(model: Recommender) -> None:
    """Check that the scores after whole histories are those of the model, and that shorter parts have some too."""
    history = padded_histories(_histories(model), model.num_items)
    places = torch.tensor([[4, 2], [4, 4], [4, 0]])
    found = model.scores_after(history, places)
    assert found.shape == (3, 2, model.num_items), (
        f"scores_after has shape {tuple(found.shape)}, not [batch, parts, items]"
    )
    assert torch.isfinite(found).all(), "scores_after gives NaN or infinite values"
    torch.testing.assert_close(found[:, 0], model(history), msg=_told("scores_after whole histories are not forward's"))


def check_item_tables(model: Recommender) -> None:
    """Check that slices of the declared item tables are a model of that part of the catalogue."""
    named = dict(model.named_parameters())
    for name, axis in model.item_tables.items():
        assert name in named, f"item_tables names {name}, which is no parameter"
        assert named[name].shape[axis] == model.num_items, f"{name} does not count items along axis {axis}"
    if not model.item_tables:
        return
    kept = torch.linspace(1, model.num_items - 1, 5).long()
    tables = {n: p.index_select(model.item_tables[n], kept) if n in model.item_tables else p for n, p in named.items()}
    whole = model(torch.stack([torch.tensor(model.num_items), kept[1], kept[4], kept[2]])[None])[:, kept]
    try:
        part = functional_call(model, tables, (torch.tensor([[5, 1, 4, 2]]),))
    except (IndexError, RuntimeError) as error:
        raise AssertionError(f"with slices of item_tables alone the model fails: {error}") from None
    torch.testing.assert_close(part, whole, msg=_told("slices of item_tables do not make a smaller model"))


def check_features(model: Recommender) -> None:
    """Check the features of all declared layers, and that a layer that is not there is refused in words."""
    rows = _histories(model)
    batch = padded_histories(rows, model.num_items)
    for layer in (None, *model.layers):
        features = model.features(batch, layer)
        assert features.ndim == 3, f"features of layer {layer} have shape {tuple(features.shape)}, not three axes"
        assert features.shape[:2] == (len(rows), 1), f"features of layer {layer} are not of shape [batch, 1, features]"
        assert torch.isfinite(features).all(), f"features of layer {layer} are NaN or infinite"
    try:
        model.features(batch, max(model.layers, default=0) + 1)
    except UserError:
        return
    raise AssertionError("features of a layer that is not there must be refused with a UserError")


def check_size(model: Recommender) -> None:
    """Check that the size counts every stored number, and its bytes."""
    kept = list(stored_tensors(model).values())
    numbers, size = sum(t.numel() for t in kept), sum(t.numel() * t.element_size() for t in kept)
    assert model.size() == (numbers, size), f"size() is {model.size()}, the model has {numbers} numbers, {size} bytes"


def check_storage(config: ModelConfig, catalogue: Catalogue) -> None:
    """Check that a model has the same scores when it was stored and loaded."""
    model, other = (config.build(catalogue, seed).eval() for seed in (0, 1))
    batch = padded_histories(_histories(model), model.num_items)
    loaded = load_arrays(other, stored_arrays(model))(batch)
    torch.testing.assert_close(loaded, model(batch), msg=_told("a stored and loaded model has other scores"))


def check_transforms(config: ModelConfig, catalogue: Catalogue) -> None:
    """Check that many students can be trained as one batched computation: each has the gradients it has alone."""
    models = [config.build(catalogue, seed) for seed in range(3)]
    parameters, _ = stack_module_state([*models])
    items = len(catalogue)
    histories = torch.randint(0, items + 1, (3, 4, 7), generator=torch.Generator().manual_seed(0))

    def loss(own: dict[str, Tensor], history: Tensor) -> Tensor:
        scores: Tensor = functional_call(models[0], own, (history,))
        return torch.log_softmax(scores, -1)[:, 0].sum()

    together = vmap(grad(loss), randomness="different")(parameters, histories)
    for row, model in enumerate(models):
        alone = torch.autograd.grad(loss(dict(model.named_parameters()), histories[row]), list(model.parameters()))
        for (name, _), gradient in zip(model.named_parameters(), alone, strict=True):
            message = _told(f"the gradient of {name} is another one under vmap")
            torch.testing.assert_close(together[name][row], gradient, msg=message)


def check_overfits(model: Recommender) -> None:
    """Check that an untrained model learns a toy set by heart."""
    histories = toy_histories(model.num_items)
    pretrain(model, histories, StepTraining(steps=150, learning_rate=0.03), np.random.default_rng(0))
    depth = int(histories.lengths[0])
    best = np.argsort(-score(model, histories), axis=1)[:, :depth]
    hits = np.mean([np.isin(best[row], histories[row]).mean() for row in range(len(histories))])
    assert hits > 0.95, f"only {hits:.0%} of the items that a toy history shows have its best scores after training"


def toy_histories(num_items: int, users: int = 60) -> Ragged:
    """Return histories of users who each like some items of one of four clusters, the first cluster most."""
    rng, size = np.random.default_rng(0), min(num_items // CLUSTERS, 6)
    tastes = rng.choice(CLUSTERS, users, p=[0.4, 0.2, 0.2, 0.2])
    rows = [taste * size + rng.choice(size, max(1, size - 2), replace=False) for taste in tastes]
    return Ragged.from_rows(rows, np.int32)


def _histories(model: Recommender) -> Ragged:
    items = model.num_items
    return Ragged.from_rows([[3, 1, 4, items - 1, 0], [2], []], np.int32)


def _told(what: str) -> Callable[[str], str]:
    return lambda details: f"{what}: {details}"
