"""Privacy bugs, planted one at a time: the audit must accuse every one, at several epsilons."""

import json
import math
from dataclasses import replace
from functools import cached_property

import numpy as np
import pytest

import fedkd.aggregation.quantisation as grid_module
from fedkd.attacks.canaries import Claim, audit
from fedkd.attacks.releases import release_path
from fedkd.messages.types import Answers, Kind, Spec
from fedkd.privacy.gaussian import noise_multiplier
from fedkd.privacy.ledger import Ledger
from fedkd.privacy.ledger_account import Account, Paid, open_ledger
from fedkd.privacy.mechanisms import base, central, distributed, local
from fedkd.privacy.mechanisms.base import Mechanism
from fedkd.privacy.mechanisms.distributed import Distributed
from fedkd.privacy.options import PrivacyOptions
from fedkd.protocols.residual import Residual
from fedkd.runs.config import load
from fedkd.runs.folder import RunFolder
from fedkd.testing.mechanisms import estimated
from simulations.run import simulate
from tests.attacks.conftest import clip_rows

CLIP, DELTA = 2.0, 1e-5


def half_the_noise(rows, noise, rng):
    return clip_rows(rows, CLIP).sum(axis=0) + rng.normal(0, noise / 2, rows.shape[1])


def noise_before_clip(rows, noise, rng):
    finite = np.nan_to_num(rows, nan=0.0)
    return clip_rows(finite + rng.normal(0, noise / math.sqrt(len(rows)), rows.shape), CLIP).sum(axis=0)


def noise_on_the_sum_before_clip(rows, noise, rng):
    total = np.nan_to_num(rows, nan=0.0).sum(axis=0) + rng.normal(0, noise, rows.shape[1])
    return clip_rows(total[None], CLIP * len(rows))[0]


def not_a_number_passes(rows, noise, rng):
    factors = np.array([min(1.0, CLIP / max(np.sqrt((row**2).sum()), 1e-300)) for row in rows])
    return np.nan_to_num((rows * factors[:, None]).sum(axis=0)) + rng.normal(0, noise, rows.shape[1])


def not_a_number_spreads(rows, noise, rng):
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows * np.minimum(1, CLIP / np.maximum(norms, 1e-300))).sum(axis=0) + rng.normal(0, noise, rows.shape[1])


def clip_skipped(rows, noise, rng):
    return np.nan_to_num(rows).sum(axis=0) + rng.normal(0, noise, rows.shape[1])


def true_number_divides(rows, noise, rng):
    return (clip_rows(rows, CLIP).sum(axis=0) + rng.normal(0, noise, rows.shape[1])) / len(rows)


def seed_used_again(rows, noise, rng):
    return clip_rows(rows, CLIP).sum(axis=0) + np.random.default_rng(7).normal(0, noise, rows.shape[1])


def noise_of_a_mean_on_a_sum(rows, noise, rng):
    return clip_rows(rows, CLIP).sum(axis=0) + rng.normal(0, noise / len(rows), rows.shape[1])


def evaluation_not_charged(rows, noise, rng):
    total = clip_rows(rows, CLIP).sum(axis=0)
    return np.stack([total + rng.normal(0, noise, len(total)), total + rng.normal(0, noise, len(total))])


def retried_with_fresh_noise(rows, noise, rng):
    sent = [clip_rows(rows, CLIP).sum(axis=0) + rng.normal(0, noise, rows.shape[1]) for _ in range(2)]
    return np.stack(sent)


def no_noise(rows, noise, rng):
    return clip_rows(rows, CLIP).sum(axis=0)


BUGS = (
    half_the_noise,
    noise_before_clip,
    noise_on_the_sum_before_clip,
    not_a_number_passes,
    not_a_number_spreads,
    clip_skipped,
    true_number_divides,
    seed_used_again,
    noise_of_a_mean_on_a_sum,
    evaluation_not_charged,
    retried_with_fresh_noise,
    no_noise,
)


@pytest.mark.parametrize("epsilon", [1.0, 4.0, 8.0])
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_accused(bug, epsilon):
    rng = np.random.default_rng(0)
    noise = CLIP * noise_multiplier(epsilon, DELTA)
    many = 40_000 if bug in (evaluation_not_charged, retried_with_fresh_noise) and epsilon < 4 else 16_000
    found = audit(lambda rows: bug(rows, noise, rng), Claim(epsilon, DELTA), CLIP, rng, canaries=many, together=400)
    assert found.exceeded, found


@pytest.mark.parametrize("epsilon", [1.0, 4.0, 8.0])
def test_the_noise_of_another_adjacency_is_accused(epsilon):
    """Noise for adding or removing one client does not protect replacing one, which moves the sum twice as far."""
    rng = np.random.default_rng(0)
    noise = CLIP * noise_multiplier(epsilon, DELTA)

    def mechanism(rows):
        return clip_rows(rows, CLIP).sum(axis=0) + rng.normal(0, noise, rows.shape[1])

    assert not audit(mechanism, Claim(epsilon, DELTA), CLIP, rng, together=400).exceeded
    assert audit(mechanism, Claim(epsilon, DELTA, adjacency="replace-one"), CLIP, rng, together=400).exceeded


def halve(patch):
    for kind in (Mechanism, Distributed):
        halved = cached_property(lambda self, full=kind.__dict__["multiplier"].func: full(self) / 2)
        halved.__set_name__(kind, "multiplier")
        patch.setattr(kind, "multiplier", halved)


def skip_the_clip(patch):
    patch.setattr(base, "clipped", lambda values, spec, count: np.nan_to_num(values))
    patch.setattr(grid_module, "_rounded", lambda values, grid: np.rint(values / grid.step).astype(np.int64))


def noise_before_the_clip(patch):
    """Every client adds its part of the noise to what is clipped afterwards, and nobody adds any to the sum."""
    forget_the_noise(patch)
    clip, rng = base.clipped, np.random.default_rng(1)
    part = 4 * CLIP / math.sqrt(300)

    def noised(values, spec, count):
        return clip(np.nan_to_num(values) + rng.normal(0, part, np.shape(values)), spec, count)

    patch.setattr(base, "clipped", noised)


def repeat_the_seed(patch):
    for module in (central, distributed, local):
        patch.setattr(module, "noise_generator", lambda: np.random.default_rng(1))


def forget_the_adjacency(patch):
    patch.setattr(Mechanism, "sensitivity", property(lambda self: 1.0))


def forget_the_noise(patch):
    for module in (central, local):
        patch.setattr(module, "rounded_normal", lambda scale, count, shape, generator: np.zeros(shape, np.int64))
    patch.setattr(distributed, "skellam", lambda variance, shape, generator: np.zeros(shape, np.int64))


def divide_the_noise(patch):
    """The noise of the mean, on the sum."""
    real = central.rounded_normal
    for module in (central, local):
        patch.setattr(module, "rounded_normal", lambda scale, count, shape, rng: real(scale / 100, count, shape, rng))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["central", "distributed", "local"])
@pytest.mark.parametrize(
    "plant",
    [
        halve,
        skip_the_clip,
        repeat_the_seed,
        forget_the_adjacency,
        forget_the_noise,
        divide_the_noise,
    ],
)
def test_a_bug_planted_in_the_real_release_is_accused(monkeypatch, plant, mode):
    if plant is divide_the_noise and mode == "distributed":
        pytest.skip("shares are drawn in one place, whatever the number of clients")
    plant(monkeypatch)
    adjacency = "replace-one" if plant is forget_the_adjacency else "add-remove"
    options = PrivacyOptions(mode=mode, epsilon=4, delta=DELTA, adjacency=adjacency)
    mechanism = release_path(options.planned(math.ceil(150 / options.honest_fraction), 1), {"x": CLIP})
    claim = Claim(4.0, DELTA, adjacency=adjacency)
    assert audit(mechanism, claim, 1.0, np.random.default_rng(0), canaries=2250, together=150).exceeded


def spread(mode, longest):
    """Return the noise on the released sum of clients that all hold such a vector, over what is planned."""
    guard = PrivacyOptions(mode=mode, epsilon=4, delta=DELTA).planned(50, 1)
    specs = guard.specs({"x": Spec(Kind.SCORES, (40,), clip=CLIP)})
    answers = Answers(1, np.arange(50), {"x": np.full((50, 40), longest)})
    draws = [estimated(guard, answers, specs).values["x"].value for _ in range(200)]
    return np.std(draws, axis=0).mean() / (CLIP * guard.noise)


@pytest.mark.parametrize("mode", ["central", "distributed", "local"])
@pytest.mark.parametrize("longest", [0.0, 1e-3, 1e6, np.inf])
def test_the_noise_is_all_there_whatever_is_clipped(monkeypatch, mode, longest):
    assert spread(mode, longest) == pytest.approx(1.0, rel=0.03)
    if longest == 1e6:
        noise_before_the_clip(monkeypatch)
        assert spread(mode, longest) < 0.1


def simulated(folder, *settings):
    book = f"privacy.ledger={json.dumps(str(folder.parent / 'ledger'))}"
    world = [
        "data.synthetic.users=40",
        "data.synthetic.items=30",
        "data.synthetic.mean-history=9",
        "runtime.wait-seconds=0",
        "runtime.threads=1",
        "evaluation.baselines=[]",
    ]
    protected = ["algorithm.rank=4", "privacy.epsilon=4", "privacy.delta=1e-4", book]
    place = f"runtime.run-folder={json.dumps(str(folder))}"
    config = load(None, [*world, *protected, *settings, place])
    RunFolder.create(folder, config)
    simulate(config)


class Leaks(list):
    """Everything that left a trusted server or a client as bytes, in a world of a few runs on the same data."""

    def honest(self, folder):
        """Whether the ledger knows of every different release that left."""
        book = Ledger(folder / "ledger")
        return len(set(self)) <= max((len(book.history(owner)) for owner in book.owners()), default=0)


@pytest.fixture
def leaks(monkeypatch):
    seen, pool = Leaks(), Residual.pool

    def watched(self, state, estimates):
        seen.append(b"".join(np.ascontiguousarray(one.value).tobytes() for one in estimates.values.values()))
        return pool(self, state, estimates)

    monkeypatch.setattr(Residual, "pool", watched)
    return seen


def noise_again_at_every_retry(monkeypatch, folder):
    monkeypatch.setattr(Account, "keep", lambda self, paid, answers: answers)
    monkeypatch.setattr(
        Account, "pay", lambda self, owners, name, pay=Account.pay: replace(pay(self, owners, name), kept=None)
    )


def a_ledger_rolled_back(monkeypatch, folder):
    for file in folder.glob("ledger*"):
        file.unlink()
    open_ledger.cache_clear()


def not_charged(monkeypatch, folder):
    monkeypatch.setattr(Account, "pay", lambda self, owners, name: Paid(name, owners, None))
    monkeypatch.setattr(Account, "keep", lambda self, paid, answers: answers)


@pytest.mark.parametrize(
    ("mode", "plant"),
    [
        ("central", None),
        ("local", None),
        ("local", noise_again_at_every_retry),
        ("central", a_ledger_rolled_back),
        ("local", a_ledger_rolled_back),
        ("central", not_charged),
        ("local", not_charged),
    ],
)
def test_a_second_run_on_the_same_data_leaks_only_past_a_broken_ledger(tmp_path, monkeypatch, leaks, mode, plant):
    simulated(tmp_path / "first", f"privacy.mode={mode}")
    assert leaks.honest(tmp_path)
    if plant is not None:
        plant(monkeypatch, tmp_path)
    simulated(tmp_path / "second", f"privacy.mode={mode}")
    assert leaks.honest(tmp_path) == (plant is None)
