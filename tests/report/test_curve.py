import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats

from fedkd.report.curve import Curve, curve, curve_chart, headline, regret, write_curve
from fedkd.report.run import Run
from fedkd.runs.config import Config

MakeRun = Callable[..., Path]
Read = Callable[..., Curve]
MEANS = {
    1.0: {"student": (0.30, 0.35), "teacher": (0.31, 0.36), "public-student": (0.32, 0.33), "ease": (0.45, 0.46)},
    8.0: {"student": (0.40, 0.42), "teacher": (0.39, 0.41), "public-student": (0.32, 0.33), "ease": (0.45, 0.46)},
    math.inf: {"student": (0.44, 0.46), "public-student": (0.32, 0.33), "ease": (0.45, 0.46)},
}


def privacy(epsilon: float) -> dict[str, Any]:
    if math.isinf(epsilon):
        return {"mode": "none", "epsilon": None, "delta": None, "sums": "secure"}
    about = {"unit": "user", "adjacency": "replace-one", "sampling": "no amplification", "sums": "secure"}
    return {"mode": "distributed", "epsilon": epsilon, "delta": 1e-6, **about}


@pytest.fixture
def read(make_run: MakeRun) -> Read:
    """Read the curve of runs that were never made: ``read(epsilons, seeds)``."""

    def run(epsilon: float, seed: int) -> Run:
        models = {
            name: {"ndcg@20": {"mean": means[seed], "low": 0.0, "high": 1.0}} for name, means in MEANS[epsilon].items()
        }
        told = {"seed": seed, "models": models, "privacy": privacy(epsilon)}
        return Run.read(make_run(f"{epsilon:g}-{seed}", config=Config(name="trial", seed=seed), **told))

    def make(*epsilons: float, seeds: int = 2) -> Curve:
        return curve({epsilon: [run(epsilon, seed) for seed in range(seeds)] for epsilon in epsilons})

    return make


def test_points_are_means_over_seeds_with_students_interval(read: Read) -> None:
    found = read(1.0, 8.0, math.inf)
    means = np.array(MEANS[8.0]["student"])
    low, high = stats.t.interval(0.95, 1, means.mean(), means.std(ddof=1) / 2**0.5)
    point = found.rows[8.0]["student"]
    assert (point.mean, point.low, point.high) == pytest.approx((means.mean(), low, high))
    assert found.models == ["teacher", "student", "public-student", "ease"]


def test_regret_is_what_the_worse_choice_costs(read: Read) -> None:
    found = read(1.0, 8.0)
    assert regret(found, 1.0) == pytest.approx((0.02 + 0) / 2)  # the second seed's student is the better one
    assert regret(found, 8.0) == 0
    assert math.isnan(regret(found, 3.0))


def test_the_chart_has_both_models_and_every_level(read: Read) -> None:
    chart = curve_chart(read(8.0, 1.0, math.inf))
    assert chart is not None
    assert {line.style: list(line.x) for line in chart.series} == {"student": [1.0, 8.0], "teacher": [1.0, 8.0]}
    levels = {level.style: level.y[0].mean for level in chart.references}
    assert levels == pytest.approx({"public-student": 0.325, "ease": 0.455, "unprotected": 0.45})
    ends = [end for line in chart.series for y in line.y for end in (y.low, y.high)]
    assert min(ends) >= 0  # Student's t of two seeds goes below
    assert "delta 1e-06" in chart.x.label


def test_a_page_tells_what_every_epsilon_means(read: Read, tmp_path: Path) -> None:
    html = write_curve(read(1.0, 8.0, math.inf), tmp_path).read_text(encoding="utf-8")
    ElementTree.fromstring(re.sub(r"<!doctype html>|<meta[^>]*>", "", html))  # every tag is closed
    assert "http" not in html.replace("http-equiv", "")
    assert "<script" not in html
    text = " ".join(re.sub(r"<[^>]+>", " ", html).split())
    for words in (
        "Mode distributed Unit one user Delta 1e-06 Adjacency replace-one Sampling no amplification",
        "mode distributed, unit one user, delta 1e-06, adjacency replace-one, no amplification",
        "Clients 849 Data synthetic, 943 users, 1,682 items Public users 94 Split ratio, test part Seeds 0, 1",
        "every client adds a share of the noise",
        "The row of no noise is mode none",
        "0.4100 ±0.1271",
        "0.0100",
    ):
        assert words in text


def test_the_picture_stands_alone(read: Read, tmp_path: Path) -> None:
    write_curve(read(1.0, 8.0, math.inf), tmp_path)
    root = ElementTree.parse(tmp_path / "sweep.svg").getroot()
    words = " ".join(" ".join(root.itertext()).split())
    for told in (
        "Unit: one user",
        "Delta: 1e-06",
        "Adjacency: replace-one",
        "Seeds: 0, 1",
        "Unprotected student 0.450",
    ):
        assert told in words
    assert "--student: #0b6bcb" in words  # its colours travel with it
    assert "var(--student)" in (tmp_path / "sweep.svg").read_text(encoding="utf-8")


def test_the_numbers_of_every_seed_are_kept(read: Read, tmp_path: Path) -> None:
    write_curve(read(1.0, math.inf), tmp_path)
    told = json.loads((tmp_path / "sweep.json").read_text(), parse_constant=pytest.fail)
    points = {(point["epsilon"], point["model"]): point["means"] for point in told["points"]}
    assert points[1.0, "student"] == [0.30, 0.35]
    assert points[None, "student"] == [0.44, 0.46]
    assert told["privacy"]["Unit"] == "one user"


def test_without_an_epsilon_there_is_no_picture(read: Read, tmp_path: Path) -> None:
    found = read(math.inf)
    html = write_curve(found, tmp_path).read_text(encoding="utf-8")
    assert "No privacy protection" in html
    assert not (tmp_path / "sweep.svg").exists()
    assert headline(found) == "What privacy costs in quality"


def test_one_seed_has_no_interval_and_says_so(read: Read) -> None:
    chart = curve_chart(read(1.0, 8.0, seeds=1))
    assert chart is not None
    assert "one seed: no interval" in chart.description
    assert all(y.low == y.mean == y.high for line in chart.series for y in line.y)


def test_the_headline_says_what_is_left(read: Read) -> None:
    said = headline(read(1.0, 8.0, math.inf)).replace("\N{NO-BREAK SPACE}", " ")
    assert "leaves 72.2 % at epsilon 1 and 91.1 % at epsilon 8." in said
