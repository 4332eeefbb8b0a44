import numpy as np
import pytest

from fedkd.data.catalogue import Catalogue
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import score
from fedkd.models.linear import LinearConfig
from fedkd.protocols.local_only import LocalOnly
from fedkd.testing.protocols import SEED
from fedkd.training.cohort import Cohort
from fedkd.training.local import own_students
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
    student = protocol.model.build(Catalogue.numbered(30), seed=SEED)
    nobody = Cohort(np.array([2]), np.zeros(0, np.int64), outcome.federation.fold, 0, (outcome.federation.states[2],))
    student.load_state_dict({name: stacked[0] for name, stacked in own_students(student, nobody).items()})
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


def test_a_client_keeps_only_the_rows_that_it_trained(run_federation):
    outcome = run_federation(LocalOnly(model=LinearConfig(width=4)), users=5)
    histories = outcome.federation.fold.train.histories
    for user, state in enumerate(outcome.federation.states[:5]):
        rows = state["student.encoder.weight.rows"]
        assert set(rows) <= set(histories[user])
        assert len(state["student.encoder.weight"]) == len(rows) < 30


@pytest.mark.parametrize("rounds", [1, 3])
def test_clients_that_keep_nothing_recommend_the_same(run_federation, rounds):
    kept, forgotten = (
        run_federation(LocalOnly(model=SMALL, keep=keep), users=5, rounds=rounds) for keep in (True, False)
    )
    np.testing.assert_allclose(forgotten.scores, kept.scores, atol=1e-6)
    assert not any(forgotten.federation.states)
