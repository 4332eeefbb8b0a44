from dataclasses import replace

import numpy as np
import pytest

from fedkd.errors import UserError
from fedkd.models.base import score
from fedkd.models.ease import fit_ease
from fedkd.protocols.federated_ease import FederatedEASE

PROTOCOL = FederatedEASE(rank=5, regularisation=3.0)


@pytest.mark.parametrize("cohort_size", [1, 64])
def test_the_sum_is_the_centralised_gram_matrix(run_federation, public_setup, cohort_size):
    outcome = run_federation(PROTOCOL, rounds=1, cohort_size=cohort_size)
    rows = [fold.matrix(np.float64).toarray() for fold in (outcome.federation.fold.train, outcome.state.setup.public)]
    np.testing.assert_allclose(outcome.state.arrays["gram"], sum(row.T @ row for row in rows), atol=1e-6)


def test_the_teacher_is_centralised_ease_and_the_student_its_distillate(run_federation):
    outcome = run_federation(PROTOCOL.model_copy(update={"rank": 29}), rounds=1, public=1)
    everyone = outcome.federation.fold.train
    state = outcome.state
    alone = state.with_arrays(gram=(lambda x: x.T @ x)(everyone.matrix(np.float64).toarray()))
    taught, _ = PROTOCOL.teach(alone, np.random.default_rng(0))
    expected = score(fit_ease(everyone, 3.0), everyone.histories)
    found = score(PROTOCOL.teacher(taught), everyone.histories)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_clients_contribute_once_in_any_round(run_federation):
    late = run_federation(PROTOCOL, rounds=6, share=0.5)
    once = run_federation(PROTOCOL, rounds=1)
    if not late.state.arrays["due"].any():
        np.testing.assert_allclose(late.state.arrays["gram"], once.state.arrays["gram"])
    assert (late.state.arrays["gram"] <= once.state.arrays["gram"]).all()


def test_a_catalogue_too_large_is_refused_with_its_mend(public_setup):
    setup = public_setup()
    many = setup.public.take(np.arange(1))
    large = replace(many, catalogue=type(many.catalogue)(np.arange(9000).astype(str)))
    with pytest.raises(UserError, match="residual"):
        PROTOCOL.begin(replace(setup, public=large))
