"""Every member of a table is known to its own file and its table alone, so a new one takes a file and a line.

The names of every member are looked for in the whole code: the name of its class or function, and the name that a
configuration gives it. Whoever else needs a particular member is listed below, with the reason.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fedkd.data.sources.table import SOURCES
from fedkd.deployment.compression.table import COMPRESSIONS
from fedkd.lists.table import LIST_STEPS
from fedkd.losses.features import FEATURE_LOSSES
from fedkd.losses.soft_labels import SOFT_LABEL_LOSSES
from fedkd.messages.codecs.table import CODECS
from fedkd.models.table import MODELS
from fedkd.privacy.mechanisms.table import MECHANISMS, VOTE_MECHANISMS
from fedkd.protocols.table import PROTOCOLS

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("fedkd", "server", "clients", "simulations")
TABLES = {
    "protocol": "fedkd/protocols/table.py",
    "model": "fedkd/models/table.py",
    "source": "fedkd/data/sources/table.py",
    "mechanism": "fedkd/privacy/mechanisms/table.py",
    "vote mechanism": "fedkd/privacy/mechanisms/table.py",
    "feature loss": "fedkd/losses/features.py",
    "soft-label loss": "fedkd/losses/soft_labels.py",
    "codec": "fedkd/messages/codecs/table.py",
    "compression": "fedkd/deployment/compression/table.py",
    "list step": "fedkd/lists/table.py",
}
CALLED = {
    "protocol": r"algorithm(?:\.name)?",
    "model": "family",
    "source": "source",
    "mechanism": "mode",
    "vote mechanism": "votes",
    "feature loss": "feature-loss",
    "soft-label loss": "soft-label-loss",
    "codec": "codec",
    "compression": "compress",
    "list step": "steps",
}
"""The word before a name in messages: ``algorithm gnmax``, ``privacy.mode=central``."""

CONFIG, BASELINES, ROWS = "fedkd/runs/config.py", "simulations/baselines.py", "fedkd/evaluation/rows.py"
DEFAULT, HINT, WORD = "the default", "a message advises it", "the same word in another sense"
FORECAST, MEASURED = "simulations/benchmark/forecast.py", "a run whose cost is foretold and measured"
EQUATION = "the paper's own equation has this loss"
SCENES, DOMAINS = "simulations/scenes.py", "simulations/domains.py"
GATE, TRIED = "fedkd/gate/options.py", "what a gate tries on a student where nobody says otherwise"
SPLIT = "a kind of split has this name, too"
BASELINE = "a row of the results table, chosen by the table of rows"
ALLOWED: dict[str, dict[str, str]] = {
    "Residual": {
        CONFIG: DEFAULT,
        BASELINES: "public-student follows the same rule where residual is compared; see unanswered",
        "fedkd/protocols/iterated.py": WORD,  # the array of residuals
        "fedkd/protocols/federated_ease.py": HINT,
        "simulations/benchmark/pauses.py": "whose statistics are compared",
        "simulations/convergence.py": "it alone distils a student from the teacher of a finished round, step by step",
        "simulations/feedback_policies.py": HINT,
    },
    "ColdItems": {
        "fedkd/data/options.py": SPLIT,
        "fedkd/data/splits.py": SPLIT,
        "simulations/cold_items.py": SPLIT,
        "simulations/terminal_summary.py": SPLIT,
        "fedkd/report/templates/report.html.j2": SPLIT,
    },
    "Iterated": {CONFIG: HINT},
    "GNMax": {CONFIG: HINT},
    "FedAvg": {ROWS: BASELINE, BASELINES: BASELINE, SCENES: BASELINE, FORECAST: MEASURED},
    "FedMD": {FORECAST: MEASURED},
    "LocalOnly": {ROWS: BASELINE, BASELINES: BASELINE, SCENES: BASELINE},
    "Scene": {SCENES: WORD, DOMAINS: "made scenes with domains can vary their users"},
    "LinearConfig": {
        "fedkd/api.py": DEFAULT,
        BASELINES: "the student of baselines where the protocol has no model of its own",
        "simulations/distillation.py": "only a linear student is known in closed form too",
    },
    "AutoencoderConfig": {
        "fedkd/protocols/trained.py": DEFAULT,
        "fedkd/protocols/fedmd_server.py": DEFAULT,
        "fedkd/testing/protocols.py": "the students of two device profiles",
        "simulations/benchmark/private_training.py": "what is timed",
    },
    "CNNConfig": {
        "simulations/distillation.py": "the size of a large teacher; other families have a width alone",
        "fedkd/protocols/taught.py": DEFAULT,
        "simulations/convergence.py": HINT,
    },
    "Synthetic": {
        CONFIG: DEFAULT,
        "fedkd/api.py": DEFAULT,
        "fedkd/testing/sources.py": DEFAULT,
        "simulations/forecast.py": "a forecast is made on synthetic data",
        "simulations/feedback.py": "a feedback loop needs the truth, in a world of this size",
    },
    "MovieLens100K": {
        "simulations/benchmark/local_training.py": "what is timed",
        "simulations/benchmark/scaling.py": "what is timed",
        "simulations/distillation.py": DEFAULT,
    },
    "CheckIns": {"simulations/benchmark/niches.py": "what is measured"},
    "MovieLens1M": {"simulations/benchmark/scaling.py": "what is timed"},
    "TableFile": {
        "fedkd/data/formats/published.py": HINT,
        "fedkd/data/sources/base.py": HINT,
        "fedkd/runs/reference.py": WORD,  # a table of keys
        "simulations/public_tuning.py": "public users are written as a table, for trials of their own",
    },
    "JSONLines": {"fedkd/data/guess.py": HINT},
    "NoMechanism": {
        "clients/__main__.py": DEFAULT,
        "clients/policy.py": DEFAULT,
        "fedkd/cli/budget.py": HINT,
        "fedkd/privacy/options.py": DEFAULT,
        "fedkd/report/templates/curve.html.j2": "the row without noise of a curve says so",
        "fedkd/data/describe.py": WORD,
        "fedkd/data/sources/records.py": WORD,  # no quotation marks
        "fedkd/privacy/accounting.py": WORD,  # no sampling
        "fedkd/privacy/schedule.py": WORD,
        "fedkd/registry.py": WORD,
        "fedkd/report/plots.py": WORD,  # fonts
    },
    "Central": {
        "fedkd/cli/main.py": DEFAULT,
        "simulations/sweep.py": DEFAULT,
        FORECAST: MEASURED,
        "fedkd/cli/budget.py": HINT,
        "fedkd/privacy/guarantee.py": "a sentence names it as the example of releases that the server pays for",
        "fedkd/privacy/mechanisms/none.py": HINT,
        "server/update.py": HINT,
        "fedkd/privacy/mechanisms/noisy_max.py": "the base class",
        ROWS: WORD,  # a model that is trained in one place
        "fedkd/protocols/residual/protocol.py": WORD,
        "fedkd/protocols/taught.py": WORD,
        "fedkd/protocols/trained.py": WORD,
        "fedkd/protocols/fedavg.py": WORD,  # the training in one place
        "fedkd/protocols/gnmax.py": WORD,
    },
    "Distributed": {"fedkd/cli/budget.py": HINT},
    "Local": {
        "clients/__main__.py": HINT,
        "clients/policy.py": HINT,
        "fedkd/privacy/options.py": HINT,
        "fedkd/privacy/mechanisms/randomised_response.py": "the base class",
        CONFIG: WORD,  # training on a client
        BASELINES: WORD,
    },
    "Half": {GATE: TRIED},
    "Int8": {GATE: TRIED, "simulations/benchmark/serving.py": "what is timed"},
    "Int4": {GATE: TRIED, "simulations/benchmark/serving.py": "what is timed"},
    "feature_cross_entropy": {"fedkd/distillation/options.py": DEFAULT},
    "soft_label_divergence": {
        "fedkd/distillation/options.py": DEFAULT,
        "fedkd/distillation/server_student.py": DEFAULT,
        "fedkd/protocols/feddf.py": EQUATION,
        "fedkd/protocols/fedgkt.py": EQUATION,
    },
    "feature_mse": {"fedkd/protocols/fedgkt.py": EQUATION},
    "top_divergence": {"fedkd/protocols/bidirectional.py": "clients get no more of the teacher than lists"},
}
"""Files that name a member of a table besides its own and the table, and why they must."""


class Member(NamedTuple):
    """A class or function of a table, and the name that a configuration gives it."""

    kind: str
    name: str
    thing: Any


def members() -> Iterator[Member]:
    tables = {
        "protocol": PROTOCOLS,
        "model": MODELS,
        "source": SOURCES,
        "compression": COMPRESSIONS,
        "list step": LIST_STEPS,
    }
    for kind, registry in tables.items():
        for member in registry:
            yield Member(kind, member.label(), member)
    for mechanism in MECHANISMS:
        yield Member("mechanism", mechanism.name, mechanism)
    for votes in VOTE_MECHANISMS:
        yield Member("vote mechanism", votes.votes, votes)
    for name, loss in FEATURE_LOSSES.items():
        yield Member("feature loss", name, loss)
    for name, soft in SOFT_LABEL_LOSSES.items():
        yield Member("soft-label loss", name, soft)
    for codec in CODECS:
        yield Member("codec", type(codec).__name__, type(codec))


class Names(NamedTuple):
    """The identifiers of a file, and its texts without docstrings."""

    identifiers: frozenset[str]
    texts: tuple[str, ...]


@cache
def code() -> dict[str, Names]:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    pages = [path for package in PACKAGES for path in (ROOT / package).rglob("*.j2")]
    found = {str(path.relative_to(ROOT)): names(ast.parse(path.read_text())) for path in files}
    quoted = {path: tuple(re.findall(r"""["']([^"']*)["']""", path.read_text())) for path in pages}
    return found | {str(path.relative_to(ROOT)): Names(frozenset(), texts) for path, texts in quoted.items()}


def names(tree: ast.Module) -> Names:
    documented = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    nodes = [node for node in ast.walk(tree) if node not in documented]
    identifiers = {node.id for node in nodes if isinstance(node, ast.Name)}
    identifiers |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    identifiers |= {node.name for node in nodes if isinstance(node, ast.alias)}
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return Names(frozenset(identifiers), tuple(texts))


def places(member: Member) -> set[str]:
    """Return the files that name a member, but its own and its table."""
    said = re.compile(rf"\b{CALLED[member.kind]}[ =]{re.escape(member.name)}(?![\w-])")
    table, file = ROOT / TABLES[member.kind], Path(inspect.getfile(member.thing)).resolve()
    folder = [] if file.parent == table.parent else file.parent.glob("*.py")
    own = {str(path.relative_to(ROOT)) for path in (table, file, *folder)}
    return {
        path
        for path, known in code().items()
        if path not in own
        and (
            member.thing.__name__ in known.identifiers
            or any(text == member.name or said.search(text) for text in known.texts)
        )
    }


@pytest.mark.parametrize("member", [*members()], ids=lambda member: member.thing.__name__)
def test_a_member_is_named_nowhere_else(member: Member) -> None:
    assert places(member) == ALLOWED.get(member.thing.__name__, {}).keys()


def test_the_list_of_exceptions_names_members_alone() -> None:
    assert ALLOWED.keys() <= {member.thing.__name__ for member in members()}


MODES = {*MECHANISMS.names, *VOTE_MECHANISMS.names}


def compared_texts(tree: ast.Module) -> set[str]:
    """Return the texts with which anything is compared, or that a match tells apart."""
    compared = [node for node in ast.walk(tree) if isinstance(node, ast.Compare | ast.MatchValue)]
    inside = [node for whole in compared for node in ast.walk(whole)]
    return {node.value for node in inside if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_is_compared_with_the_name_of_a_mechanism(package: str) -> None:
    files = [path for path in (ROOT / package).rglob("*.py") if "fedkd/privacy" not in path.as_posix()]
    found = {path: compared_texts(ast.parse(path.read_text())) & MODES for path in files}
    assert not {path: texts for path, texts in found.items() if texts}
    said = re.compile(rf"""(==|!=|\bin\b)\s*[(\[]?["']({"|".join(MODES)})["']""")
    assert not [path for path in (ROOT / package).rglob("*.j2") if said.search(path.read_text())]


def test_protocols_know_nothing_of_noise() -> None:
    for path, known in code().items():
        if path.startswith("fedkd/protocols/"):
            assert not [name for name in known.identifiers if "noise" in name.lower()], path
            assert not [text for text in known.texts if "noise" in text.lower()], path
