"""Models to arrays and back."""

import numpy as np
import torch

from fedkd.data.catalogue import Catalogue
from fedkd.models.arrays import export_arrays, load_arrays, model_arrays
from fedkd.models.autoencoder import AutoencoderConfig

AUTOENCODER = AutoencoderConfig(width=4)


def test_arrays_of_a_model_are_its_numbers_and_stay_when_it_learns_on() -> None:
    model = AUTOENCODER.build(Catalogue.numbered(7), seed=1)
    arrays = model_arrays(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert arrays.keys() == before.keys()
    assert all(np.array_equal(arrays[name], tensor.numpy()) for name, tensor in before.items())
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}


def test_loading_gives_the_model_back_and_keeps_its_types() -> None:
    model, other = AUTOENCODER.build(Catalogue.numbered(7), seed=1), AUTOENCODER.build(Catalogue.numbered(7), seed=2)
    assert load_arrays(other, model_arrays(model)) is other
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    load_arrays(other, export_arrays(model))
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert b.dtype == torch.float32
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


class Counted(torch.nn.Linear):
    def __init__(self) -> None:
        super().__init__(2, 3)
        self.register_buffer("count", torch.tensor([70_000]))


def test_floats_travel_as_float16_and_whole_numbers_as_they_are() -> None:
    exported = export_arrays(Counted())
    assert {name: array.dtype.name for name, array in exported.items()} == {
        "weight": "float16",
        "bias": "float16",
        "count": "int64",
    }
    assert exported["count"].tolist() == [70_000]
