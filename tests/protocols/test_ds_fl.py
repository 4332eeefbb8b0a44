import numpy as np
import torch
from scipy.special import softmax

from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import score
from fedkd.protocols.ds_fl import DSFL
from fedkd.protocols.own_consensus import CONSENSUS
from fedkd.training.options import CentralTraining
from tests.protocols.test_fedmd import students

SMALL = AutoencoderConfig(width=4)


def entropy(labels):
    return float(-(labels * np.log(np.maximum(labels, 1e-30))).sum(-1).mean())


def test_the_consensus_is_the_sharpened_mean_of_the_students_probabilities(run_federation):
    protocol = DSFL(model=SMALL, references=5, panel=12, temperature=0.6, transfer=CentralTraining(epochs=5))
    outcome = run_federation(protocol, rounds=1, users=9)
    reference = protocol._reference(outcome.state.setup, 1)
    scores = [score(s, reference.histories)[:, reference.panel] for s in students(outcome, protocol)]
    mean = np.mean([np.exp(s) / np.exp(s).sum(-1, keepdims=True) for s in scores], axis=0)
    naive = mean ** (1 / 0.6) / (mean ** (1 / 0.6)).sum(-1, keepdims=True)
    found = outcome.state.arrays[CONSENSUS + "scores"]
    np.testing.assert_allclose(found, naive, atol=1e-5)
    assert entropy(found) < entropy(mean)


def test_digesting_is_cross_entropy():
    rng = np.random.default_rng(0)
    scores, consensus = rng.normal(size=(3, 7)), softmax(rng.normal(size=(3, 7)), axis=-1)
    naive = [-sum(consensus[r, i] * np.log(softmax(scores[r])[i]) for i in range(7)) for r in range(3)]
    found = DSFL().distance(torch.from_numpy(scores), torch.from_numpy(consensus))
    np.testing.assert_allclose(found, naive)


def test_sharpening_keeps_the_order_of_unlikely_items():
    mean = np.random.default_rng(0).dirichlet(np.ones(1000))
    for temperature in (0.3, 0.7):
        found = DSFL(temperature=temperature).consensus(mean)
        assert (np.argsort(found)[100:] == np.argsort(mean)[100:]).mean() > 0.9
        assert entropy(found) < entropy(mean)


def test_a_mean_that_noise_made_negative_is_no_likely_item():
    found = DSFL(temperature=0.7).consensus(np.array([[0.5, -0.2, 0.1]]))
    assert np.isfinite(found).all()
    assert found[0, 1] < 1e-6
