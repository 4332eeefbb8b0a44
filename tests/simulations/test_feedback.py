"""The feedback loop: its controls, its clients' answers, its page, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fedkd.cli.terminal import command_line
from fedkd.errors import UserError
from fedkd.feedback.world import World
from fedkd.runs.config import Config, load
from simulations.feedback import POLICIES, main, play
from simulations.feedback_loop import Federated, catalogue_of, loop, opened

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


def test_every_policy_is_measured_and_the_oracle_is_best(config: Config) -> None:
    results = play(config)
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
        (["privacy.mode=central", "privacy.epsilon=4", "privacy.delta=1e-5"], "set privacy.mode=none"),
        (["data.synthetic.items=20"], "lower feedback.slate"),
        (["data.synthetic.users=1000000"], "lower data.synthetic.users"),
    ],
)
def test_what_cannot_be_played_is_refused(settings: list[str], mend: str) -> None:
    with pytest.raises(UserError, match=mend):
        play(load(None, [*SMALL, *settings] if "source" not in settings[0] else settings))


def test_a_frozen_student_is_not_taught_again(config: Config) -> None:
    world, memory = opened(World.draw(80, 60, config.feedback, 1))
    frozen = Federated(config, catalogue_of(world), 80, updates=False)
    list(loop(frozen, world, memory))
    assert frozen.answers == len(frozen.private)
