import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from fedkd.attacks.attributes import PENALTY, attribute_inference, coordinates, fit_probe, probabilities


def test_a_planted_attribute_is_told_and_noise_hides_it():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 200)
    centres = rng.normal(size=(3, 500))
    clear = centres[label] + rng.normal(size=(200, 500))
    found = attribute_inference(clear, np.array(["a", "b", "c"])[label], np.random.default_rng(1))
    assert found.low > 0.4
    hidden = attribute_inference(clear + 100 * rng.normal(size=clear.shape), label, np.random.default_rng(1))
    assert hidden.low < 0.02
    assert hidden.random == 0.0


def test_the_most_common_value_alone_is_no_achievement():
    rng = np.random.default_rng(0)
    label = (rng.random(300) < 0.1).astype(int)
    found = attribute_inference(rng.normal(size=(300, 4)), label, rng)
    assert found.value == pytest.approx(0.0, abs=0.02)


def test_coordinates_keep_distances():
    features = np.random.default_rng(0).normal(size=(20, 300))
    points = coordinates(features)
    ratio = pdist(points) / pdist(features)
    np.testing.assert_allclose(ratio, ratio[0])
    assert (points**2).sum(axis=1).mean() == pytest.approx(1.0)


def test_the_probe_is_the_minimum_that_torch_finds():
    rng = np.random.default_rng(0)
    points, label = rng.normal(size=(60, 5)) / 2, rng.integers(0, 3, 60)
    weights = fit_probe(points, label, 3)
    design = torch.from_numpy(np.hstack([points, np.ones((60, 1))]))
    free = torch.zeros(6, 3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([free], max_iter=500, tolerance_grad=1e-9)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(design @ free, torch.from_numpy(label))
        loss = loss + PENALTY / 2 * (free[:-1] ** 2).sum()
        torch.autograd.backward(loss)
        return loss

    optimiser.step(closure)
    expected = torch.softmax(design @ free, dim=1).detach().numpy()
    np.testing.assert_allclose(probabilities(weights, points), expected, atol=2e-3)


def test_few_clients_and_one_value_do_no_harm():
    assert attribute_inference(np.zeros((3, 4)), np.array(["x"] * 3), np.random.default_rng(0)).value == 0.0
