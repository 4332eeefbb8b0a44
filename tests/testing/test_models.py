"""The conformance suite finds what is wrong with a model, in words."""

from typing import Any

import pytest
import torch
from torch import Tensor

from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError
from fedkd.models.autoencoder import Autoencoder, AutoencoderConfig
from fedkd.models.base import Recommender
from fedkd.testing.models import check_model

CATALOGUE = Catalogue.numbered(24)


class Broken(AutoencoderConfig):
    """An autoencoder of which one thing is wrong."""

    family: str  # type: ignore[assignment]
    wrong: Any = None

    def untrained(self, catalogue: Catalogue) -> Recommender:
        return self.wrong(catalogue, 8)


class Unseeded(Autoencoder):
    def __init__(self, catalogue: Catalogue, width: int) -> None:
        super().__init__(catalogue, width)
        torch.nn.init.normal_(self.decoder.weight, generator=torch.Generator().manual_seed(torch.seed() % 1000))


class Doubles(Autoencoder):
    def forward(self, history: Tensor) -> Tensor:
        return super().forward(history).double()


class Flat(Autoencoder):
    def hidden(self, history: Tensor) -> Tensor:
        return super().hidden(history).unsqueeze(1)


class CountsPadding(Autoencoder):
    def forward(self, history: Tensor) -> Tensor:
        return super().forward(history) + history.shape[1]


class LooksAtOthers(Autoencoder):
    def forward(self, history: Tensor) -> Tensor:
        scores = super().forward(history)
        return scores - scores.mean(0)


class WrongTable(Autoencoder):
    def __init__(self, catalogue: Catalogue, width: int) -> None:
        super().__init__(catalogue, width)
        vars(self)["item_tables"] = {"encoder.weight": 0, "decoder.weight": 0}


class MissingTable(Autoencoder):
    def __init__(self, catalogue: Catalogue, width: int) -> None:
        super().__init__(catalogue, width)
        vars(self)["item_tables"] = {"encoder.wait": 0}


class WrongLayers(Autoencoder):
    layers = (1,)


class Anything(Autoencoder):
    def features(self, history: Tensor, layer: int | None = None) -> Tensor:
        return super().features(history)


class Uncounted(Autoencoder):
    def size(self) -> tuple[int, int]:
        return 1, 4


class Constant(Autoencoder):
    def forward(self, history: Tensor) -> Tensor:
        return super().forward(history) * 1e-9


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Unseeded, "equal seeds give other numbers|torch's own generator"),
        (Doubles, "forward gives torch.float64"),
        (Flat, "has shape"),
        (CountsPadding, "padding on the left changes scores"),
        (LooksAtOthers, "other histories of the batch change scores"),
        (WrongTable, "with slices of item_tables alone the model fails"),
        (MissingTable, "which is no parameter"),
        (WrongLayers, "no layer 1"),
        (Anything, "must be refused with a UserError"),
        (Uncounted, "size\\(\\) is"),
        (Constant, "best scores after training"),
    ],
)
def test_a_broken_model_is_found(wrong: Any, message: str) -> None:
    with pytest.raises((AssertionError, UserError), match=message):
        check_model(Broken(wrong=wrong), CATALOGUE)
