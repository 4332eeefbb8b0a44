import numpy as np

from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import score
from fedkd.protocols.fedmd import FedMD
from fedkd.protocols.fedmd_server import FedMDServer
from fedkd.protocols.own_consensus import CONSENSUS
from fedkd.training.options import CentralTraining

SETTINGS = {"model": AutoencoderConfig(width=4), "references": 5, "panel": 12, "transfer": CentralTraining(epochs=5)}
TAUGHT = FedMDServer(**SETTINGS, teacher_model=AutoencoderConfig(width=9), digest_epochs=30)


def test_clients_and_student_are_those_of_fedmd(run_federation):
    plain = run_federation(FedMD(**SETTINGS, digest_epochs=30), users=6)
    taught = run_federation(TAUGHT, users=6)
    np.testing.assert_array_equal(plain.scores, taught.scores)
    for name, array in plain.state.arrays.items():
        np.testing.assert_array_equal(taught.state.arrays[name], array)


def test_the_consensus_teaches_the_teacher(run_federation):
    state = run_federation(TAUGHT, users=6, rounds=1).state
    reference, before = TAUGHT._reference(state.setup, 1), TAUGHT.begin(state.setup)
    consensus = state.arrays[CONSENSUS + "scores"]
    distances = [
        np.abs(score(TAUGHT.teacher(one), reference.histories)[:, reference.panel] - consensus).mean()
        for one in (before, state)
    ]
    assert distances[1] < 0.8 * distances[0]
    assert TAUGHT.teacher(state).size()[0] > TAUGHT.student(state).size()[0]
