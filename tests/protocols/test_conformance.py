"""Every protocol in the table passes the suite that ships with the package."""

import pytest

from fedkd.distillation.options import DistillationOptions
from fedkd.distillation.server_student import ServerDistillation
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.protocols.table import PROTOCOLS
from fedkd.testing import protocols as suite
from fedkd.training.options import CentralTraining, LocalTraining, StepTraining

SMALL = AutoencoderConfig(width=4)
BRIEF = ServerDistillation(samples=20, steps=20, batch_size=8)
SHORT = DistillationOptions(training=StepTraining(steps=3))
CONSENSUS = {"references": 6, "panel": 20, "transfer": CentralTraining(epochs=5)}
QUICK = {
    "residual": {"references": 8, "panel": 15, "rank": 4},
    "federated-ease": {"rank": 4, "regularisation": 3.0},
    "iterated": {"references": 6, "panel": 20, "pretraining": CentralTraining(epochs=5)},
    "gnmax": {"queries": 6, "panel": 20, "central": CentralTraining(epochs=5)},
    "bidirectional": {
        "references": 6,
        "panel": 20,
        "teacher_model": AutoencoderConfig(width=6),
        "pretraining": CentralTraining(epochs=5),
        "teaching": SHORT,
        "distillation": SHORT,
    },
    "fedmd": CONSENSUS,
    "fedmd-server": {**CONSENSUS, "teacher_model": AutoencoderConfig(width=6)},
    "ds-fl": CONSENSUS,
    "fedgkt": {
        "references": 6,
        "panel": 20,
        "server_width": 8,
        "pretraining": CentralTraining(epochs=5),
        "teaching": StepTraining(steps=3),
    },
    "feddf": {**CONSENSUS, "digest_epochs": 3, "local": LocalTraining(epochs=2)},
}


def small(kind):
    """The protocol with a student that is quick to train."""
    fields = kind.model_fields
    given = {"model": SMALL} if "model" in fields and fields["model"].default is not None else {}
    return kind(**given, **QUICK.get(fields["name"].default, {}))


ALL = {kind.label(): small(kind) for kind in PROTOCOLS}
ALL["residual of a network"] = ALL["residual"].model_copy(update={"model": SMALL, "distillation": BRIEF})


@pytest.fixture(params=[*ALL])
def protocol(request):
    return ALL[request.param]


@pytest.mark.parametrize(
    "check",
    [
        suite.check_two_rounds,
        suite.check_cohorts,
        suite.check_seed,
        suite.check_coming_and_going,
        suite.check_profiles,
        suite.check_bound,
        suite.check_silence,
        suite.check_file,
        suite.check_public_divisors,
    ],
)
def test_a_protocol_conforms(protocol, check):
    check(protocol)
