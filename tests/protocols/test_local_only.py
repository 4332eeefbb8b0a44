import numpy as np
import torch

from fedkd.data.catalogue import Catalogue
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import score
from fedkd.protocols.local_only import LocalOnly
from fedkd.training.options import LocalTraining

SMALL = AutoencoderConfig(width=4)


def test_clients_share_nothing(run_federation):
    """A client's scores are the same whoever else takes part."""
    protocol = LocalOnly(model=SMALL)
    few, many = run_federation(protocol, users=5), run_federation(protocol, users=20)
    np.testing.assert_allclose(few.scores, many.scores[:5], atol=1e-5)


def test_a_client_recommends_with_what_it_keeps(run_federation):
    protocol = LocalOnly(model=SMALL, local=LocalTraining(learning_rate=0.05))
    outcome = run_federation(protocol, users=5)
    kept = outcome.federation.states[2]
    student = protocol.blank_student(Catalogue.numbered(30))
    student.load_state_dict({n.removeprefix("student."): torch.from_numpy(a) for n, a in kept.items()})
    own = outcome.federation.fold.history.histories.take(np.array([2]))
    np.testing.assert_allclose(outcome.scores[2], score(student, own)[0], atol=1e-6)


def test_training_goes_on_where_it_stopped(run_federation):
    protocol = LocalOnly(model=SMALL, local=LocalTraining(learning_rate=0.05))
    histories = run_federation(protocol, rounds=1).federation.fold.train.histories
    own = [
        np.mean([run.scores[user][histories[user]].mean() - run.scores[user].mean() for user in range(20)])
        for run in (run_federation(protocol, rounds=rounds) for rounds in (1, 3))
    ]
    assert own[1] > own[0] > 0


def test_nothing_is_sent(run_federation):
    assert run_federation(LocalOnly(model=SMALL)).state.arrays == {}
