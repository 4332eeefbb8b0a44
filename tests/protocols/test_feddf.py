import numpy as np
import pytest
import torch

from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError
from fedkd.messages.types import Estimate, Estimates
from fedkd.models.arrays import load_arrays
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import padded_histories, score
from fedkd.protocols.consensus import COMMON
from fedkd.protocols.feddf import FedDF
from fedkd.training.cohort import Cohort
from fedkd.training.options import CentralTraining, LocalTraining
from tests.protocols.test_fedmd import SEED, STILL

SMALL = AutoencoderConfig(width=4)
PROTOCOL = FedDF(model=SMALL, references=5, panel=12, transfer=CentralTraining(epochs=5), local=STILL, digest_epochs=2)


@pytest.fixture
def asked(public_setup):
    state = PROTOCOL.begin(public_setup())
    return state, PROTOCOL.ask(state, np.arange(3), 1, np.random.default_rng(0))


def sent(asks):
    arrays = {name.removeprefix(COMMON): a for name, a in asks.shared.items() if name.startswith(COMMON)}
    return load_arrays(SMALL.build(Catalogue.numbered(30), 0), arrays).eval()


def test_clients_start_from_the_servers_student_and_answer_logits(asked, private_fold):
    _, asks = asked
    cohort = Cohort(np.arange(3), np.arange(3), private_fold(3, seed=1), SEED, ({},) * 3)
    kept, answers = PROTOCOL.learn(cohort, asks)
    known = score(sent(asks), asks.reference.histories)[:, asks.reference.panel]
    np.testing.assert_allclose(answers.values["scores"], [known] * 3, atol=1e-5)
    assert kept.states == ({},) * 3
    assert PROTOCOL.masks()
    assert PROTOCOL.unprotectable() is None


def test_the_student_learns_the_softmax_of_the_mean_logits(asked):
    """One batch, two epochs: two steps of Adam on KL(softmax(mean) || softmax(f_s)), as a plain loop does them."""
    state, asks = asked
    logits = np.random.default_rng(0).normal(size=(5, 12))
    pooled = PROTOCOL.pool(state, Estimates(1, np.arange(4), {"scores": Estimate(4 * logits)}, 4.0))
    taught, _ = PROTOCOL.teach(pooled, np.random.default_rng(0))
    naive, panel = PROTOCOL.global_student(state), torch.from_numpy(asks.reference.panel.astype(np.int64))
    shown, wanted = padded_histories(asks.reference.histories, 30), torch.softmax(torch.from_numpy(logits), -1)
    adam = torch.optim.Adam(naive.parameters(), lr=PROTOCOL.digest_learning_rate)
    for _ in range(2):
        ours = torch.log_softmax(naive(shown)[:, panel], -1)
        loss = (wanted * (wanted.log() - ours)).sum(-1).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    for name, tensor in PROTOCOL.global_student(taught).state_dict().items():
        np.testing.assert_allclose(tensor, naive.state_dict()[name], atol=1e-5)


def test_the_student_learns_from_clients(run_federation):
    transfer, local = CentralTraining(epochs=60, learning_rate=0.03), LocalTraining(epochs=20, learning_rate=0.02)
    outcome = run_federation(FedDF(model=SMALL, transfer=transfer, local=local), rounds=3, users=40)
    before = run_federation(FedDF(model=SMALL, transfer=transfer), rounds=0, users=40)
    assert outcome.federation.ndcg(outcome.scores) > before.federation.ndcg(before.scores)


def test_without_public_users_it_says_what_to_change(public_setup):
    with pytest.raises(UserError, match=r"feddf needs public users.*partition\.public-fraction"):
        PROTOCOL.begin(public_setup(public=0))
