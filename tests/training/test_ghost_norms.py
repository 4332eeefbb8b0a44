"""Ghost norms and sums against gradients that are really made, example by example."""

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedkd.data.catalogue import Catalogue
from fedkd.models.ncf import NCF
from fedkd.models.table import MODELS
from fedkd.ragged import Ragged
from fedkd.training import dp_sgd
from fedkd.training.dp_sgd import GradientNoise, train_with_noise
from fedkd.training.engine import replicate
from fedkd.training.examples import Examples
from fedkd.training.ghost_norms import ghost_of
from fedkd.training.local import history_loss
from tests.training.naive import clipped_sums

ITEMS, HELD, CLIENTS, EACH = 15, 4, 3, 5


class Student(nn.Module):
    """The vectors of the items that an example holds, added up, through two layers."""

    item_tables: ClassVar[dict[str, int]] = {"table.weight": 0}

    def __init__(self) -> None:
        super().__init__()
        self.num_items = ITEMS
        self.table = nn.Embedding(ITEMS, 6)
        self.first = nn.Linear(6, 5, bias=False)
        self.last = nn.Linear(5, 1)

    def forward(self, items: Tensor) -> Tensor:
        return torch.as_tensor(self.last(torch.tanh(self.first(self.table(items).sum(-2)))).squeeze(-1))


class Tied(Student):
    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Embedding(ITEMS, 6)
        self.other.weight = self.table.weight

    def forward(self, items: Tensor) -> Tensor:
        return torch.as_tensor(super().forward(items) + self.other(items).sum((-2, -1)))


class ReadPastLayer(Student):
    def forward(self, items: Tensor) -> Tensor:
        return super().forward(items) + self.first.weight.sum()


class UsedTwice(Student):
    def forward(self, items: Tensor) -> Tensor:
        return super().forward(items) + super().forward(items[..., :1])


class NotUsed(Student):
    def forward(self, items: Tensor) -> Tensor:
        return torch.as_tensor(self.first(self.table(items).sum(-2)).sum(-1))


class Loose(Student):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, items: Tensor) -> Tensor:
        return super().forward(items) * self.scale


class WidePositions(Student):
    """A linear layer that sees every item of an example apart: no outer product."""

    def forward(self, items: Tensor) -> Tensor:
        return torch.as_tensor(self.last(torch.tanh(self.first(self.table(items)))).squeeze(-1).sum(-1))


class Mixing(Student):
    """What an example gets depends on those beside it."""

    def forward(self, items: Tensor) -> Tensor:
        scores = super().forward(items)
        return scores - scores.mean()


def squared(student: Any, batch: Any) -> Tensor:
    return torch.as_tensor((student(batch["items"]) - batch["label"]) ** 2)


def made_up(count: int, seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    items = rng.integers(0, ITEMS, (count, HELD))
    items[::2, 1:] = items[::2, :1]  # the same item four times
    label = rng.normal(0, 3, count).astype(np.float32)
    ends = np.arange(count + 1)
    return Examples({"items": Ragged(items, ends), "label": Ragged(label, ends)}, items=("items",))


def rectangle(single: Examples) -> dict[str, Tensor]:
    values = {name: torch.from_numpy(column.values) for name, column in single.columns.items()}
    return {name: v.view(-1, EACH, *v.shape[1:]) for name, v in values.items()}


def students() -> tuple[Student, dict[str, Tensor]]:
    torch.manual_seed(0)
    model = Student()
    return model, {name: p + torch.randn_like(p) for name, p in replicate(model, CLIENTS).items()}


@pytest.mark.parametrize("clip", [0.01, 1.0, 1e6])
def test_sums_are_those_of_gradients_that_are_made(clip: float) -> None:
    (model, own), single = students(), made_up(CLIENTS * EACH)
    ghost = ghost_of(model, single, squared)
    assert ghost
    got = {name: torch.zeros_like(p) for name, p in own.items()}
    ghost.add_clipped(own, rectangle(single), torch.ones(CLIENTS, EACH), squared, clip, got)
    expected = clipped_sums(model, own, single, np.repeat(np.arange(CLIENTS), EACH), squared, clip)
    for name in own:
        torch.testing.assert_close(got[name], expected[name], rtol=1e-5, atol=1e-6 * clip)


def test_padding_and_what_is_not_finite_count_nothing() -> None:
    (model, own), single = students(), made_up(CLIENTS * EACH)
    label = single.columns["label"].values
    label[[1, 6, 7, 12]] = [np.nan, np.inf, 1e38, -np.inf]
    weight = torch.ones(CLIENTS, EACH)
    weight[0, 0] = weight[2, 2] = 0
    ghost = ghost_of(model, single, squared)
    assert ghost
    got = {name: torch.zeros_like(p) for name, p in own.items()}
    ghost.add_clipped(own, rectangle(single), weight, squared, 0.5, got)
    sound = np.flatnonzero((weight.numpy().ravel() > 0) & np.isfinite(label) & (label < 1e37))
    kept = {name: Ragged(c.values[sound], np.arange(len(sound) + 1)) for name, c in single.columns.items()}
    expected = clipped_sums(model, own, Examples(kept, single.items), sound // EACH, squared, 0.5)
    for name in own:
        torch.testing.assert_close(got[name], expected[name], rtol=1e-5, atol=1e-6)


def test_no_example_moves_a_sum_by_more_than_the_clip() -> None:
    rng, count, clip = np.random.default_rng(0), 2500, 0.3
    model = Student()
    label = np.exp(rng.uniform(-100, 88, count)) * rng.choice([-1, 1], count)
    label[:6] = [np.nan, np.inf, -np.inf, 1e38, 1e-45, 0.0]
    batch = {"items": torch.from_numpy(rng.integers(0, ITEMS, (count, 1, HELD)))}
    batch["label"] = torch.from_numpy(label.astype(np.float32)).view(-1, 1)
    ghost = ghost_of(model, made_up(1), squared)
    assert ghost
    for scale in (1e-30, 1e-3, 1.0, 1e3, 1e15, 1e25, 1e37):
        own = {name: scale * stacked for name, stacked in replicate(model, count).items()}
        own["last.weight"][:9] = torch.tensor([torch.nan, torch.inf, 1e38]).repeat(3).view(9, 1, 1)
        total = {name: torch.zeros_like(p) for name, p in own.items()}
        ghost.add_clipped(own, batch, torch.ones(count, 1), squared, clip, total)
        norm = torch.cat([t.double().reshape(count, -1) for t in total.values()], 1).norm(dim=1)
        assert norm.isfinite().all()
        assert float(norm.max()) <= clip * (1 + 1e-6)


@pytest.mark.parametrize("kind", [Tied, ReadPastLayer, UsedTwice, NotUsed, Loose, WidePositions, Mixing])
def test_models_whose_layers_do_not_tell_the_whole_gradient_have_no_ghost(kind: type[Student]) -> None:
    assert ghost_of(Student(), made_up(2), squared) is not None
    assert ghost_of(kind(), made_up(2), squared) is None


def test_whole_numbers_of_unknown_meaning_have_no_ghost() -> None:
    columns = made_up(2).columns
    assert (
        ghost_of(Student(), Examples({**columns, "row": Ragged(np.arange(2), np.arange(3))}, ("items",)), squared)
        is None
    )


def test_ncf_has_a_ghost() -> None:
    columns = {"item": Ragged(np.array([1]), np.arange(2)), "label": Ragged(np.ones(1, np.float32), np.arange(2))}
    ghost = ghost_of(NCF(ITEMS), Examples(columns, ("item",)), lambda s, b: (s(b["item"]) - b["label"]) ** 2)
    assert ghost is not None
    assert sorted(ghost.shapes) == ["first", "item", "last", "second", "user"]


def test_students_are_the_same_without_a_ghost(monkeypatch: pytest.MonkeyPatch) -> None:
    single, indptr = made_up(23), np.array([0, 0, 4, 11, 18, 23])  # the first client has nothing
    examples = Examples({n: Ragged(c.values, indptr) for n, c in single.columns.items()}, single.items)
    noise = GradientNoise(clip=0.4, multiplier=0.0, rate=1.0, steps=5, divisor=4.0)
    results = []
    for without in (False, True):
        if without:
            monkeypatch.setattr(dp_sgd, "ghost_of", lambda *_: None)
        torch.manual_seed(1)
        model = Student()
        parameters = replicate(model, 5)
        train_with_noise(model, parameters, examples, squared, 0.1, noise, chunk_bytes=4096)
        results.append(parameters)
    assert not torch.equal(results[0]["table.weight"][3], replicate(model, 1)["table.weight"][0])
    for name in results[0]:
        torch.testing.assert_close(results[0][name], results[1][name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", ["linear", "autoencoder"])
def test_students_of_histories_are_the_same_without_a_ghost(monkeypatch: pytest.MonkeyPatch, family: Any) -> None:
    """Also where a history is empty or a client has none."""
    rng, indptr = np.random.default_rng(0), np.array([0, 0, 4, 9])
    whole = Ragged.from_rows([[], *(rng.permutation(ITEMS)[: rng.integers(1, 9)] for _ in range(8))], np.int32)
    shown = whole.where(rng.random(len(whole.values)) < 0.5)
    columns = {"shown": Ragged(shown.padded(ITEMS), indptr), "whole": Ragged(whole.padded(ITEMS), indptr)}
    examples, loss = Examples(columns, histories=("shown", "whole")), history_loss(ITEMS)
    model = MODELS.find(family).model_validate({"width": 4}).build(Catalogue.numbered(ITEMS), 0)
    assert ghost_of(model, examples, loss) is not None
    results = []
    for without in (False, True):
        if without:
            monkeypatch.setattr(dp_sgd, "ghost_of", lambda *_: None)
        parameters = replicate(model, 3)
        noise = GradientNoise(clip=0.4, multiplier=0.0, rate=1.0, steps=5, divisor=4.0)
        train_with_noise(model, parameters, examples, loss, 0.1, noise)
        results.append(parameters)
    assert not torch.equal(results[0]["encoder.weight"][2], results[0]["encoder.weight"][0])
    for name in results[0]:
        torch.testing.assert_close(results[0][name], results[1][name], rtol=1e-5, atol=1e-6)
