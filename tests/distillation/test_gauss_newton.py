import numpy as np
import torch
from torch.func import functional_call, jacrev

from fedkd.data.catalogue import Catalogue
from fedkd.distillation.gauss_newton import parameter_change
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.cnn import CNNConfig

HISTORY = torch.tensor([[9, 0, 3], [2, 5, 7], [9, 9, 1], [4, 8, 6]])
PANEL = torch.tensor([0, 2, 3, 8])


def jacobian(model):
    """The whole matrix, shape [references * panel, parameters]."""
    parameters = {n: p.detach() for n, p in model.named_parameters()}
    blocks = jacrev(lambda values: functional_call(model, values, (HISTORY,))[:, PANEL])(parameters)
    return torch.cat([blocks[name].reshape(16, -1) for name in parameters], 1).numpy()


def flat(change):
    return torch.cat([tensor.reshape(-1) for tensor in change.values()]).numpy()


def test_it_is_the_least_squares_solution_of_smallest_norm():
    model = AutoencoderConfig(width=2).build(Catalogue.numbered(9), 1)
    wanted = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    matrix = jacobian(model)
    exact = np.linalg.lstsq(matrix.astype(np.float64), wanted.reshape(-1).numpy(), rcond=1e-5)[0]
    change, explained = parameter_change(model, HISTORY, PANEL, wanted, steps=100)
    np.testing.assert_allclose(flat(change), exact, atol=2e-3)
    rest = np.square(matrix @ exact - wanted.reshape(-1).numpy()).sum() / np.square(wanted.numpy()).sum()
    assert abs(explained - (1 - rest)) < 1e-3


def test_a_change_that_parameters_can_make_is_found_with_a_cnn():
    model = CNNConfig(width=3, channels=(3, 4)).build(Catalogue.numbered(9), 1)
    matrix = jacobian(model)
    wanted = matrix @ np.random.default_rng(0).standard_normal(matrix.shape[1]).astype(np.float32)
    change, explained = parameter_change(model, HISTORY, PANEL, torch.from_numpy(wanted.reshape(4, 4)), steps=200)
    np.testing.assert_allclose(matrix @ flat(change), wanted, atol=0.02 * np.abs(wanted).max())
    assert explained > 0.999


def test_no_change_is_wanted_none_is_made():
    model = AutoencoderConfig(width=2).build(Catalogue.numbered(9), 1)
    change, _ = parameter_change(model, HISTORY, PANEL, torch.zeros(4, 4), steps=5)
    assert not np.any(flat(change))
