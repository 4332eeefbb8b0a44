"""Training under noise with one history changed: the others' examples, places and draws stay what they were."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedkd.data.catalogue import Catalogue
from fedkd.data.fold import Fold
from fedkd.data.interactions import Interactions
from fedkd.errors import UserError
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import ModelConfig
from fedkd.models.cnn import CNNConfig
from fedkd.models.linear import LinearConfig
from fedkd.ragged import Ragged
from fedkd.training import dp_sgd, local
from fedkd.training.cohort import Cohort
from fedkd.training.dp_sgd import Draws, GradientNoise
from fedkd.training.engine import replicate
from fedkd.training.examples import Examples
from fedkd.training.local import history_loss, train_locally, weights_of
from fedkd.training.options import LocalTraining

ITEMS, CLIP, CHANGED = 40, 0.5, 3

CATALOGUE = Catalogue.numbered(ITEMS)

OWNER = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])

SILENT = GradientNoise(CLIP, 0.0, 0.6, 1, 1.0)

HISTORIES: dict[str, list[int]] = {
    "one more": [4, 9, 17, 30],
    "one less": [4, 9],
    "none": [],
    "everything": list(range(ITEMS)),
    "another's": [39, 38, 2],
}
"""What becomes of the history 4, 9, 17."""

FAMILIES = [
    LinearConfig(width=4),
    AutoencoderConfig(width=4),
    CNNConfig(width=4, channels=(3, 5), length=6),
]


def cohort_with(history: list[int], noise: GradientNoise | None = SILENT) -> Cohort:
    rng = np.random.default_rng(5)
    rows = [rng.permutation(ITEMS)[: rng.integers(2, 9)] for _ in OWNER]
    rows[6], rows[CHANGED] = np.zeros(0, np.int64), np.array(history, np.int64)
    data = Interactions(np.arange(len(rows)).astype(np.str_), Ragged.from_rows(rows, np.int32), CATALOGUE)
    return Cohort(np.arange(3), OWNER, Fold(data, data, data), 0, ({},) * 3, noise)


class Recorded:
    """Stands in for secret randomness: the same every time, with everything that is asked of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.generators, self.asked, self.examples = 0, list[Any](), list[Examples]()
        monkeypatch.setattr(local, "noise_generator", self._generator)
        monkeypatch.setattr(dp_sgd, "Draws", lambda: Repeated(self.asked))
        genuine = local.train_with_noise

        def watched(model: Any, parameters: Any, examples: Examples, *more: Any) -> None:
            self.examples.append(examples)
            genuine(model, parameters, examples, *more)

        monkeypatch.setattr(local, "train_with_noise", watched)

    def _generator(self) -> np.random.Generator:
        self.generators += 1
        return np.random.default_rng(self.generators)


class Repeated(Draws):
    def __init__(self, asked: list[Any]) -> None:
        self.rng, self.asked = np.random.default_rng(1), asked

    def taking_part(self, rows: NDArray[np.int64], lengths: NDArray[np.int64], rate: float) -> NDArray[np.bool_]:
        self.asked.append((rows.tolist(), lengths.tolist(), rate))
        return self.rng.random(int(lengths.sum())) < rate

    def normal(self, name: str, rows: NDArray[np.int64], shape: torch.Size, step: int) -> Tensor:
        self.asked.append((name, rows.tolist(), tuple(shape), step))
        return torch.from_numpy(self.rng.normal(size=tuple(shape))).float()


def trained(history: list[int], model: ModelConfig, noise: GradientNoise, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return students after training, all flat, and what was recorded."""
    with monkeypatch.context() as patched:
        recorded = Recorded(patched)
        student = model.build(CATALOGUE, seed=1)
        parameters = replicate(student, 3)
        how = LocalTraining(learning_rate=1.0, optimiser="sgd", visible=0.5)
        train_locally(student, parameters, cohort_with(history, noise), how, 1)
    return torch.cat([p.double().reshape(3, -1) for p in parameters.values()], 1).numpy(), recorded


def held(examples: Examples, row: int) -> list[list[int]]:
    return [[i for i in examples.columns[name].values[row] if i != ITEMS] for name in ("shown", "whole")]


@pytest.mark.parametrize("becomes", HISTORIES)
def test_one_history_changes_its_own_example_alone(becomes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = GradientNoise(CLIP, 1.0, 0.6, 4, 1.0)
    (_, before), (_, after) = (trained(h, FAMILIES[0], noise, monkeypatch) for h in ([4, 9, 17], HISTORIES[becomes]))
    old, new = before.examples[0], after.examples[0]
    assert old.lengths.tolist() == new.lengths.tolist() == [3, 2, 4]
    for row in range(len(OWNER)):
        assert (held(old, row) == held(new, row)) == (row != CHANGED)
    assert held(new, CHANGED)[1] == HISTORIES[becomes]
    assert before.asked == after.asked
    assert len(before.asked) == 4 * (1 + 2)
    assert before.generators == after.generators == len(OWNER)


def by_itself(student: Any, example: tuple[Any, Any]) -> NDArray[np.float64]:
    """Return the clipped gradient of one example, padded by nothing."""
    shown, whole = (np.array(items or [ITEMS], np.int64) for items in example)
    batch = {"shown": torch.from_numpy(shown)[None], "whole": torch.from_numpy(whole)[None]}
    loss = history_loss(ITEMS)(student, batch).sum()
    gradients = torch.autograd.grad(loss, list(student.parameters()))
    flat = torch.cat([g.reshape(-1) for g in gradients]).double().numpy()
    return flat * min(1.0, CLIP / (float(np.linalg.norm(flat)) + 1e-6))


@pytest.mark.parametrize("model", FAMILIES, ids=lambda model: model.family)
@pytest.mark.parametrize("becomes", HISTORIES)
def test_a_changed_history_moves_a_step_by_its_own_clipped_gradients(
    becomes: str, model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though others are padded to another width."""
    everyone = GradientNoise(CLIP, 0.0, 1.0, 1, 1.0)
    runs = [trained(history, model, everyone, monkeypatch) for history in ([4, 9, 17], HISTORIES[becomes])]
    apart = runs[1][0] - runs[0][0]
    old, new = (by_itself(model.build(CATALOGUE, seed=1), held(run[1].examples[0], CHANGED)) for run in runs)
    np.testing.assert_allclose(apart[1], old - new, atol=1e-6)
    np.testing.assert_allclose(apart[[0, 2]], 0, atol=1e-6)
    assert np.linalg.norm(apart) <= 2 * CLIP * (1 + 1e-5)


@pytest.mark.parametrize("model", FAMILIES, ids=lambda model: model.family)
def test_an_empty_history_is_an_example_whose_gradient_is_zero(
    model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Interactions(np.array(["a", "b"]), Ragged(np.zeros(0, np.int32), np.zeros(3, np.int64)), CATALOGUE)
    cohort = Cohort(np.arange(1), np.zeros(2, np.int64), Fold(data, data, data), 0, ({},), SILENT)
    recorded, student = Recorded(monkeypatch), model.build(CATALOGUE, seed=1)
    parameters = replicate(student, 1)
    train_locally(student, parameters, cohort, LocalTraining(optimiser="sgd"), 1)
    assert recorded.examples[0].lengths.tolist() == [2]
    for name, parameter in student.named_parameters():
        assert torch.equal(parameters[name][0], parameter)


def test_under_noise_weights_do_not_tell_how_long_histories_are() -> None:
    for history in HISTORIES.values():
        assert weights_of(cohort_with(history)).tolist() == [1, 1, 1]
    plain = cohort_with([4, 9, 17], noise=None)
    lengths = plain.data.train.histories.lengths
    assert weights_of(plain)[1] == lengths[3] + lengths[4]
    assert weights_of(plain, 0.5)[1] == pytest.approx(lengths[3] ** 0.5 + lengths[4] ** 0.5)


def test_another_optimiser_than_plain_steps_is_refused_under_noise() -> None:
    student = FAMILIES[0].build(Catalogue.numbered(ITEMS), seed=1)
    with pytest.raises(UserError, match="sgd"):
        train_locally(student, replicate(student, 3), cohort_with([4, 9, 17]), LocalTraining(), 1)
