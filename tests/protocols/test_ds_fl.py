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
    protocol = DSFL(model=SMALL, references=5, panel=12, temperature=0.03, transfer=CentralTraining(epochs=5))
    outcome = run_federation(protocol, rounds=1, users=9)
    reference = protocol._reference(outcome.state.setup, 1)
    scores = [score(s, reference.histories)[:, reference.panel] for s in students(outcome, protocol)]
    mean = np.mean([np.exp(s) / np.exp(s).sum(-1, keepdims=True) for s in scores], axis=0)
    naive = np.exp(mean / 0.03) / np.exp(mean / 0.03).sum(-1, keepdims=True)
    found = outcome.state.arrays[CONSENSUS + "scores"]
    np.testing.assert_allclose(found, naive, atol=1e-5)
    assert entropy(found) < entropy(mean)


def test_digesting_is_cross_entropy():
    rng = np.random.default_rng(0)
    scores, consensus = rng.normal(size=(3, 7)), softmax(rng.normal(size=(3, 7)), axis=-1)
    naive = [-sum(consensus[r, i] * np.log(softmax(scores[r])[i]) for i in range(7)) for r in range(3)]
    found = DSFL().distance(torch.from_numpy(scores), torch.from_numpy(consensus))
    np.testing.assert_allclose(found, naive)


def test_the_temperature_of_ten_classes_makes_a_catalogue_uniform():
    mean = np.random.default_rng(0).dirichlet(np.full(1000, 0.1), size=4)
    assert entropy(DSFL(temperature=0.1).consensus(mean)) > 0.99 * np.log(1000) > entropy(mean)
    assert entropy(DSFL(temperature=0.002).consensus(mean)) < entropy(mean)
