"""The feedback loop: its controls, its clients' answers, its page, and what it refuses."""

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from rich.console import Console

from fedkd.cli.terminal import command_line
from fedkd.errors import UserError
from fedkd.feedback.world import World
from fedkd.messages.types import LowRankUpdate
from fedkd.privacy.ledger import Ledger
from fedkd.privacy.mechanisms import central
from fedkd.protocols.residual import protected_questions as questions
from fedkd.report.feedback import write_feedback
from fedkd.runs.config import Config, load
from simulations.feedback import OWN, POLICIES, main, play, releases_table
from simulations.feedback_budget import Books
from simulations.feedback_loop import catalogue_of, loop, opened
from simulations.feedback_policies import Federated

CENTRAL = ["privacy.mode=central", "privacy.epsilon=8", "privacy.delta=1e-5"]
SMALL = ["data.synthetic.users=80", "data.synthetic.items=60", "feedback.iterations=3", "feedback.seeds=1"]
SMALL += ["algorithm.rank=8", "runtime.threads=1", "partition.public-fraction=0.2"]


@pytest.fixture(scope="module")
def config() -> Config:
    return load(None, SMALL)


def test_after_the_loop_the_sum_is_that_of_clients_who_answer_for_the_first_time(config: Config) -> None:
    world, memory = opened(World.draw(80, 60, config.feedback, 0))
    catalogue = catalogue_of(world)
    policy = Federated(config, catalogue, 80)
    for iteration in range(2):
        policy.learn(memory, iteration)
        user = policy.private[::3]  # the references come from public users, who stay as they are
        memory = memory.after(user, (user + iteration) % 60)
    policy.learn(memory, 2)
    fresh = Federated(config, catalogue, 80)
    fresh.learn(memory, 0)
    assert policy.state is not None
    assert fresh.state is not None
    assert np.array_equal(policy.state.arrays["sum"], fresh.state.arrays["sum"])
    assert policy.answers < 3 * fresh.answers  # whose history stayed is not asked again


def test_every_policy_is_measured_and_the_oracle_is_best(config: Config, tmp_path: Path) -> None:
    results = play(config, tmp_path)
    assert not list(tmp_path.iterdir())  # nothing is protected, so there is no ledger
    assert dict.fromkeys(results["policy"]) == dict.fromkeys(POLICIES)
    assert (results.groupby("policy").size() == 3).all()
    first = results[results["iteration"] == 1].set_index("policy")
    assert first["utility"].idxmax() == "oracle"
    assert first.loc["oracle", "regret"] == pytest.approx(0.0)
    assert first.loc["federated student", "utility"] == first.loc["frozen student", "utility"]
    assert first.loc["federated student", "utility"] > first.loc["random", "utility"]
    assert (results["truth"] == results["utility"]).all()


def test_a_world_is_the_same_for_every_policy_and_changes(config: Config) -> None:
    options = config.feedback.model_copy(update={"newcomers": 0.5, "iterations": 6})
    one, other = (World.draw(80, 60, options, 3) for _ in range(2))
    assert np.array_equal(one.attraction(), other.attraction())
    assert one.present(0).sum() < one.present(6).sum() == 80
    tired = one.after(np.array([4] * 9), np.arange(9), np.random.default_rng(0))
    drifted = (tired.favourites != one.favourites).any(1)
    assert 0 < drifted.sum() < 80
    same = replace(tired, favourites=one.favourites)
    genres = one.shelf.genre[:9]
    assert (
        same.attraction()[4, np.isin(one.shelf.genre, genres)] < one.attraction()[4, np.isin(one.shelf.genre, genres)]
    ).all()


def test_the_page_shows_every_policy_and_what_a_simulation_cannot_show(tmp_path: Path) -> None:
    given = [f"--set={each}" for each in (*SMALL, "feedback.iterations=1")]
    done = CliRunner().invoke(command_line(main), [*given, f"--out={tmp_path}"])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "feedback.html").read_text()
    for words in (*POLICIES, "no gains with real users"):
        assert words in page


@pytest.mark.parametrize(
    ("settings", "mend"),
    [
        (["data.source=movielens-100k"], "set data.source=synthetic"),
        ([*CENTRAL, "privacy.panel-share=0.1"], "leave privacy.panel-share and privacy.metrics-share out"),
        ([*CENTRAL, "privacy.delta=0.1"], "must be below"),
        ([*CENTRAL, "privacy.adaptive=true"], "set privacy.epsilon-limit="),
        (["algorithm.name=fedavg", "privacy.student.epsilon=8"], "leave privacy.student.epsilon out"),
        (["algorithm.name=local-only"], "set algorithm.name=residual"),
        (["data.synthetic.items=20"], "lower feedback.slate"),
        (["data.synthetic.users=1000000"], "lower data.synthetic.users"),
    ],
)
def test_what_cannot_be_played_is_refused(settings: list[str], mend: str) -> None:
    small = [each for each in SMALL if "rank" not in each or "name" not in settings[0]]
    config = load(None, [*small, *settings] if "source" not in settings[0] else settings)
    with pytest.raises(UserError, match=mend):
        play(config, Path("nowhere"))


def test_a_frozen_student_is_not_taught_again(config: Config) -> None:
    world, memory = opened(World.draw(80, 60, config.feedback, 1))
    frozen = Federated(config, catalogue_of(world), 80, updates=False)
    list(loop(frozen, world, memory))
    assert frozen.answers == len(frozen.private)


def gaussian_epsilon(multiplier: float, releases: int, delta: float) -> float:
    """Epsilon of releases of Gaussian noise: Balle & Wang (2018), theorem 8, solved by halving."""
    mu, phi = math.sqrt(releases) / multiplier, NormalDist().cdf

    def excess(epsilon: float) -> float:
        return phi(mu / 2 - epsilon / mu) - math.exp(epsilon) * phi(-mu / 2 - epsilon / mu) - delta

    low, high = 0.0, 100.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


def protected_policy(config: Config, folder: Path, play: str = "a") -> Federated:
    pay = Books(folder, play).payer(config, 80, OWN)
    return Federated(config, catalogue_of(World.draw(80, 60, config.feedback, 0)), 80, pay=pay)


def test_what_is_charged_is_the_composition_of_all_releases(tmp_path: Path) -> None:
    config = load(None, [*SMALL, *CENTRAL])
    policy = protected_policy(config, tmp_path)
    rows = list(loop(policy, *opened(World.draw(80, 60, config.feedback, 0))))
    ledger = Ledger(tmp_path / "privacy.ledger")
    [owner] = ledger.owners()
    charges = ledger.history(owner)
    assert len(charges) == policy.releases == 3
    assert all(charge.stored for charge in charges)
    assert policy.answers == 3 * len(policy.private)  # who answers does not tell whose history changed
    noise = [(2 * charge.cost.rho) ** -0.5 for charge in charges]
    assert noise == pytest.approx([policy.mechanism.multiplier] * 3)
    found = [gaussian_epsilon(policy.mechanism.multiplier, made, 1e-5) for made in (1, 2, 3)]
    assert [row["epsilon"] for row in rows] == pytest.approx(found, rel=1e-3)
    assert found[-1] == pytest.approx(8, rel=1e-3)
    assert not any(row["refused"] for row in rows)


def test_answers_are_clipped_and_their_sums_noised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(None, [*SMALL, *CENTRAL])
    _, memory = opened(World.draw(80, 60, config.feedback, 0))

    weight, spread = 1 + questions.FADING, math.hypot(1, questions.FADING)  # of a mean in which the older one fades
    whole, estimate = questions.block_answer, questions.protected_gram
    taught: list[tuple[np.ndarray, float]] = []

    def watched(pooled: np.ndarray, *known: Any) -> Any:
        taught.append((pooled, known[3]))
        return estimate(pooled, *known)

    def two_releases() -> tuple[np.ndarray, Federated]:
        policy = protected_policy(config, tmp_path)
        for iteration in range(2):
            policy.learn(memory, iteration)
        assert policy.state is not None
        assert policy.state.arrays["times"] == pytest.approx(weight)
        assert policy.state.arrays["std"] == pytest.approx(policy.mechanism.multiplier * spread)
        return policy.state.arrays["sum"], policy

    monkeypatch.setattr(questions, "protected_gram", watched)
    noised, policy = two_releases()
    assert taught[-1][0] == pytest.approx(noised / weight)
    assert [noise for _, noise in taught] == pytest.approx(
        [policy.mechanism.multiplier * share for share in (1, spread / weight)]
    )
    monkeypatch.setattr(central, "rounded_normal", lambda std, count, shape, rng: np.zeros(shape, np.int64))
    exact, _ = two_releases()
    assert (noised - exact).std() == pytest.approx(policy.mechanism.multiplier * spread, rel=0.1)
    monkeypatch.setattr(questions, "block_answer", lambda *given: louder(whole(*given)))
    assert two_releases()[0] == pytest.approx(exact, abs=0.01)  # a thousand times as much is clipped to the same


def louder(update: LowRankUpdate) -> LowRankUpdate:
    return replace(update, left=update.left * 1000)


def test_a_budget_used_up_halfway_ends_the_releases_and_the_table_says_so(tmp_path: Path) -> None:
    shared = [*SMALL, *CENTRAL, f"privacy.ledger={json.dumps(str(tmp_path / 'shared'))}", "privacy.epsilon-limit=10"]
    config = load(None, shared)
    world, memory = opened(World.draw(80, 60, config.feedback, 0))
    before, policy = (protected_policy(config, tmp_path, play) for play in "ab")
    before.learn(memory, 0)  # an earlier play, which spent a part of the limit
    before.learn(memory, 1)
    states = []
    rows = [states.append(policy.state) or row for row in loop(policy, world, memory)]
    assert [row["refused"] for row in rows] == [0, 0, 1]
    assert rows[1]["epsilon"] == rows[2]["epsilon"] < 8
    assert states[1] is not states[0]
    assert np.array_equal(states[2].arrays["sum"], states[1].arrays["sum"])
    assert np.array_equal(states[2].arrays["student.encoder.weight"], states[1].arrays["student.encoder.weight"])
    results = pd.DataFrame([{"policy": OWN, "seed": 0, **row} for row in rows])
    shown = Console(width=100, file=io.StringIO())
    shown.print(releases_table(results))
    lines = shown.file.getvalue().splitlines()[1:]
    assert ["the budget is used up" in line for line in lines] == [False, False, True]
    write_feedback(results, "title", "a promise", tmp_path)
    told = json.loads((tmp_path / "feedback.json").read_text())
    assert [row["epsilon"]["mean"] for row in told["iterations"][OWN]] == [row["epsilon"] for row in rows]
    assert told["last-quarter"][OWN]["epsilon"]["mean"] == rows[-1]["epsilon"]
    assert "the budget is used up" in (tmp_path / "feedback.html").read_text()


@pytest.mark.parametrize("mode", ["distributed", "local"])
def test_other_modes_are_played_too(mode: str, tmp_path: Path) -> None:
    config = load(None, [*SMALL, *CENTRAL, f"privacy.mode={mode}", "feedback.iterations=2"])
    rows = list(loop(protected_policy(config, tmp_path), *opened(World.draw(80, 60, config.feedback, 0))))
    assert [row["epsilon"] for row in rows] == [pytest.approx(rows[0]["epsilon"]), 8]
    assert 0 < rows[0]["epsilon"] < 8
