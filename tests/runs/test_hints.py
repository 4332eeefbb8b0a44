"""Every mend that an error of a configuration names is applied as it is written, and must mend."""

import re

import pytest

from fedkd.data.sources.synthetic import SyntheticOptions, generate
from fedkd.errors import UserError
from fedkd.runs.config import Config, load
from fedkd.runs.federation import federation, mechanisms

SIZE = {"users": "60", "items": "40", "mean-history": "9"}
BUDGET = {"privacy.epsilon": "4", "privacy.delta": "1e-5"}
CENTRAL = {"privacy.mode": "central", **BUDGET}
SILOS = {"partition.clients": "silos", "partition.num-silos": "5"}
NOBODY = {"partition.public-fraction": "0"}
OUT = {"privacy.mode": "", "privacy.epsilon": "", "privacy.delta": ""}
"""Keys that a mend says to leave out."""

Keys = dict[str, str]
Case = tuple[Keys, str, list[Keys]]

CASES: list[Case] = [
    ({"privacy.mode": "central"}, "set privacy.epsilon=4 and privacy.delta=1e-5", [BUDGET]),
    (BUDGET, "set privacy.mode=central, or leave them out", [{"privacy.mode": "central"}, OUT]),
    (
        {**BUDGET, "privacy.mode": "distributed", "privacy.sums": "clear"},
        "leave privacy.sums at secure, or set privacy.mode=local",
        [{"privacy.sums": "secure"}, {"privacy.mode": "local"}],
    ),
    (
        {**CENTRAL, "privacy.votes": "randomised-response"},
        "set privacy.mode=local and privacy.adjacency=replace-one",
        [
            {
                "privacy.mode": "local",
                "privacy.adjacency": "replace-one",
                "algorithm.name": "gnmax",
                "algorithm.panel": "30",
            }
        ],
    ),
    (
        {**BUDGET, "privacy.mode": "local", "privacy.votes": "randomised-response", "privacy.adjacency": "replace-one"},
        "set algorithm.name=gnmax and algorithm.panel=50",
        [{"algorithm.name": "gnmax", "algorithm.panel": "50"}],
    ),
    (
        {"privacy.student.epsilon": "4"},
        "set algorithm.name=iterated, fedavg or fedmd, and algorithm.local.optimiser=sgd",
        [{"algorithm.name": name, "algorithm.local.optimiser": "sgd"} for name in ("iterated", "fedavg", "fedmd")],
    ),
    (
        {**CENTRAL, "algorithm.name": "ptf-fedrec"},
        "algorithm.name to another, or leave",
        [{"algorithm.name": "iterated"}, OUT],
    ),
    ({**CENTRAL, "algorithm.name": "local-only"}, "leave privacy.mode, privacy.epsilon and privacy.delta out", [OUT]),
    ({**CENTRAL, **SILOS}, "set privacy.unit=client", [{"privacy.unit": "client"}]),
    ({**CENTRAL, "privacy.delta": "0.5"}, "safer is 0.002 or less", [{"privacy.delta": "0.002"}]),
    (
        {**CENTRAL, "privacy.panel-share": "0.6", "privacy.metrics-share": "0.5"},
        "lower privacy.panel-share or privacy.metrics-share",
        [{"privacy.panel-share": "0.4"}, {"privacy.metrics-share": "0.3"}],
    ),
    (
        {**CENTRAL, "privacy.epsilon-limit": "1"},
        "lower privacy.epsilon, or raise privacy.epsilon-limit",
        [{"privacy.epsilon": "1"}, {"privacy.epsilon-limit": "4"}],
    ),
    (
        {"privacy.adaptive": "true"},
        "leave privacy.adaptive out, or set privacy.mode",
        [{"privacy.adaptive": ""}],
    ),
    (
        {"privacy.adaptive": "true", "privacy.epsilon-limit": "5"},
        "set privacy.mode, privacy.epsilon and privacy.delta",
        [CENTRAL],
    ),
    ({**CENTRAL, "privacy.adaptive": "true"}, "set privacy.epsilon-limit=4.33", [{"privacy.epsilon-limit": "4.33"}]),
    (
        {**CENTRAL, **NOBODY},
        "set partition.public-fraction above 0, for example 0.1",
        [{"partition.public-fraction": "0.1"}],
    ),
    *(
        ({**NOBODY, "algorithm.name": name}, "for example 0.1", [{"partition.public-fraction": "0.1"}])
        for name in ("iterated", "fedmd", "ds-fl", "feddf", "fedgkt", "gnmax")
    ),
    ({"partition.public-fraction": "0.999"}, "lower it", [{"partition.public-fraction": "0.9"}]),
    ({**SILOS, "partition.num-silos": "500"}, "lower it to at most 54", [{"partition.num-silos": "54"}]),
    (
        {"partition.clients": "groups", "data.source": "table"},
        "data.path",
        [{"partition.clients": "users", "data.source": "synthetic"}],
    ),
    (
        {"clients.profiles.small.model.family": "linear", "algorithm.name": "fedavg"},
        "set algorithm.name to one whose clients keep their own students, for example fedmd",
        [{"algorithm.name": "fedmd"}],
    ),
    ({"algorithm.name": "ptf-fedrec", **SILOS}, "set partition.clients to users", [{"partition.clients": "users"}]),
    ({"algorithm.rank": "60"}, "must be less than the 40 items", [{"algorithm.rank": "39"}]),
    (
        {"algorithm.name": "federated-ease", "data.synthetic.items": "9000"},
        "set algorithm.name=residual",
        [{"algorithm.name": "residual"}],
    ),
    (
        {"algorithm.reference-kind": "histories", "algorithm.references": "30"},
        "lower algorithm.references to at most 6, raise partition.public-fraction, or set algorithm.reference-kind",
        [{"algorithm.references": "6"}, {"partition.public-fraction": "0.6"}, {"algorithm.reference-kind": "items"}],
    ),
    ({"algorithm.references": "50"}, "algorithm.references to at most the panel", [{"algorithm.references": "40"}]),
    (
        {"algorithm.references": "10", "algorithm.panel": "5"},
        "0 leaves either to the upload budget",
        [
            {"algorithm.references": "5"},
            {"algorithm.panel": "40"},
            {"algorithm.panel": "0"},
            {"algorithm.references": "0"},
        ],
    ),
    (
        {"algorithm.upload-budget-bytes": "1"},
        "raise algorithm.upload-budget-bytes to at least 2",
        [{"algorithm.upload-budget-bytes": "2"}],
    ),
    (
        {"evaluation.baselines": "[ease, 'popularity']"},
        'write it as ["ease", "popularity"]',
        [{"evaluation.baselines": '["ease", "popularity"]'}],
    ),
    ({"algorithm": "iterated"}, "set algorithm.name=iterated", [{"algorithm": "", "algorithm.name": "iterated"}]),
    ({"seed": "1", "seed.first": "1"}, "set seed itself", [{"seed.first": ""}]),
    ({"seeds": "3"}, "did you mean seed?", [{"seeds": "", "seed": "3"}]),
    (
        {"split.test_fracton": "0.3"},
        "did you mean split.test-fraction?",
        [{"split.test_fracton": "", "split.test-fraction": "0.3"}],
    ),
    ({"algorithm.name": "itrated"}, "did you mean iterated", [{"algorithm.name": "iterated"}]),
    (
        {"algorithm.queries": "9"},
        "leave it out, or set algorithm.name=gnmax",
        [{"algorithm.queries": ""}, {"algorithm.name": "gnmax"}],
    ),
    (
        {"split.kind": "official"},
        "set split.kind to ratio or leave-last-out",
        [{"split.kind": "ratio"}, {"split.kind": "leave-last-out"}],
    ),
    (
        {"data.synthetic.mean-history": "38"},
        "at most 32 (80 %) is possible: lower mean-history or raise data.synthetic.items",
        [{"data.synthetic.mean-history": "32"}, {"data.synthetic.items": "80"}],
    ),
]


@pytest.fixture(autouse=True)
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave students as they begin: what is read and checked comes before their training."""
    for module in ("iterated", "consensus", "fedgkt"):
        monkeypatch.setattr(f"fedkd.protocols.{module}.train_centrally", lambda model, *_: model)
    monkeypatch.setattr("fedkd.protocols.gnmax.GNMax._trained", lambda self, state, rng: state)


def ready(keys: Keys) -> Config:
    """Read a configuration, and prepare its run until the first client would be asked; empty keys are left out."""
    small = {f"data.synthetic.{key}": value for key, value in SIZE.items()}
    given = {**small, **keys} if "table" not in keys.values() else keys
    if keys.get("algorithm.name", "residual") in ("residual", "federated-ease") and "algorithm" not in keys:
        given = {"algorithm.rank": "8", **given}
    config = load(None, [f"{key}={value}" for key, value in given.items() if value])
    together = federation(config)
    mechanisms(config, together.partition.num_clients)
    config.algorithm.begin(together.setup(config))
    return config


def error(keys: Keys) -> str:
    with pytest.raises(UserError) as caught:
        ready(keys)
    return str(caught.value)


@pytest.mark.parametrize(("wrong", "words", "mends"), CASES, ids=lambda case: str(case)[:60])
def test_every_named_mend_mends(wrong: Keys, words: str, mends: list[Keys]) -> None:
    assert words in error(wrong)
    for mend in mends:
        ready({**wrong, **mend})


def test_what_is_named_as_a_key_is_one() -> None:
    known = {key for wrong, _, mends in CASES for keys in (wrong, *mends) for key in keys}
    for wrong, _, _ in CASES:
        for key, value in re.findall(r"set ((?:[a-z]+\.)+[a-z-]+)=([\w.-]+\w)", error(wrong)):
            assert key in known, (key, value)


def test_data_that_no_memory_holds_are_refused_before_they_are_made() -> None:
    for size in ({"users": 10**8}, {"items": 10**8}, {"users": 10**6, "items": 10**7, "mean_history": 1e5}):
        with pytest.raises(UserError, match=r"GB are free: lower data\.synthetic\.users") as caught:
            generate(SyntheticOptions(**size))
        assert "at least" in str(caught.value)
