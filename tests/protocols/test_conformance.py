"""What every protocol in the table must do."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fedkd.messages.types import Answers
from fedkd.models.base import score
from fedkd.models.spec import ModelSpec
from fedkd.protocols.table import PROTOCOLS
from fedkd.training.options import CentralTraining

SMALL = ModelSpec(family="autoencoder", width=4)
QUICK = {
    "residual": {"references": 8, "panel": 15, "rank": 4},
    "federated-ease": {"rank": 4, "regularisation": 3.0},
    "iterated": {"references": 6, "panel": 20, "pretraining": CentralTraining(epochs=5)},
    "gnmax": {"queries": 6, "panel": 20, "central": CentralTraining(epochs=5)},
    "fedmd": {"references": 6, "panel": 20, "transfer": CentralTraining(epochs=5)},
}


def small(kind):
    """The protocol with a student that is quick to train."""
    fields = kind.model_fields
    given = {"model": SMALL} if "model" in fields else {}
    return kind(**given, **QUICK.get(fields["name"].default, {}))


@pytest.fixture(params=PROTOCOLS, ids=lambda kind: kind.model_fields["name"].default)
def protocol(request):
    return small(request.param)


def assert_same(left, right, tolerance=1e-5):
    assert left.keys() == right.keys()
    for name, a in left.items():
        np.testing.assert_allclose(a, right[name], rtol=0, atol=tolerance * max(np.abs(a).max(initial=0), 1e-12))


def test_two_rounds_end_in_finite_arrays_and_scores(protocol, run_federation):
    outcome = run_federation(protocol)
    for name, array in outcome.state.arrays.items():
        assert isinstance(array, np.ndarray), name
        assert array.dtype.kind in "fiub", f"{name} cannot be saved"
        assert np.isfinite(array).all(), name
    for kept in outcome.federation.states:
        assert all(isinstance(array, np.ndarray) and array.dtype.kind in "fiub" for array in kept.values())
    assert outcome.scores.shape == (20, 30)
    assert outcome.scores.dtype == np.float32
    assert np.isfinite(outcome.scores).all()
    assert all(np.isfinite(value) for said in outcome.metrics for value in said.values())


@pytest.mark.parametrize("size", [1, 7])
def test_the_result_does_not_depend_on_the_cohorts(protocol, size, run_federation):
    together, apart = run_federation(protocol), run_federation(protocol, cohort_size=size)
    assert_same(together.state.arrays, apart.state.arrays)
    for left, right in zip(together.federation.states, apart.federation.states, strict=True):
        assert_same(left, right)
    assert_same({"scores": together.scores}, {"scores": apart.scores})


def test_the_seed_decides_the_result(protocol, run_federation):
    first, second = run_federation(protocol, users=12), run_federation(protocol, users=12)
    assert all(np.array_equal(first.state.arrays[name], array) for name, array in second.state.arrays.items())


def test_clients_may_come_and_go(protocol, run_federation):
    outcome = run_federation(protocol, rounds=3, share=0.3)
    assert np.isfinite(outcome.scores).all()


def test_the_centralised_bound_scores_the_catalogue(protocol, private_fold):
    train = private_fold(20, seed=1).train
    bound = protocol.centralised(train, seed=0)
    scores = np.zeros((20, 30)) if bound is None else score(bound, train.histories)
    assert scores.shape == (20, 30)
    assert np.isfinite(scores).all()


def test_nobody_answering_does_no_harm(protocol, public_setup):
    state, _ = protocol.teach(protocol.begin(public_setup()), np.random.default_rng(0))
    student = protocol.student(state)
    assert student is None or all(np.isfinite(t.numpy()).all() for t in student.state_dict().values())


def test_parameters_survive_a_file(protocol):
    text = json.dumps(protocol.model_dump(mode="json", by_alias=True))
    assert type(protocol).model_validate(json.loads(text)) == protocol


def test_under_noise_what_is_taught_depends_on_the_sum_and_not_on_how_many_answered(protocol, public_setup):
    """Divisors and thresholds are public: the number of those who did answer would tell who takes part."""
    if protocol.unprotectable("central"):
        pytest.skip("its answers cannot be noised")
    setup, taught = replace(public_setup(), participants=20, noise=0.5), []
    for answered in (3, 19):
        state = protocol.begin(setup)
        asks = protocol.ask(state, np.arange(20), 1, np.random.default_rng(0))
        rng = np.random.default_rng(1)
        values = {name: rng.normal(0, 3, spec.shape) for name, spec in protocol.expects(asks).items()}
        about = "" if asks.reference is None else asks.reference.fingerprint
        state = protocol.pool(state, Answers(1, np.arange(answered), values, about))
        taught.append(protocol.student(protocol.teach(state, np.random.default_rng(2))[0]))
    assert (taught[0] is None) == (taught[1] is None)
    if taught[0] is not None:
        assert_same(*({name: t.numpy() for name, t in student.state_dict().items()} for student in taught), 0)
