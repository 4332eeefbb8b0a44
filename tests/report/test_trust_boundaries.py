import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from fedkd.privacy.mechanisms.base import Mechanism
from fedkd.privacy.mechanisms.none import NoMechanism
from fedkd.privacy.mechanisms.table import MECHANISMS
from fedkd.report import render
from fedkd.report.run import Run
from fedkd.report.trust_boundaries import PLACES, budget, who_sees_what
from fedkd.runs.config import Config
from fedkd.runs.folder import RunFolder

MakeRun = Callable[..., Path]
PAGE = Path(__file__).resolve().parents[2] / "fedkd" / "privacy" / "README.md"


def made(make_run: MakeRun, sums: str = "secure", **privacy: Any) -> Path:
    mode = privacy.get("mode", "none")
    way = asdict(MECHANISMS.find(mode).way)
    told: dict[str, Any] = {"mode": mode, "epsilon": None, "delta": None, "statement": "As it is.", "sums": sums}
    told["way"] = way
    if mode != "none":
        about = {"unit": "user", "adjacency": "add-remove", "sampling": "no amplification"}
        told |= {"epsilon": 4.0, "epsilon-planned": 4.0, "delta": 1e-5, **about}
        privacy |= {"epsilon": 4, "delta": 1e-5}
    return make_run(config=Config.model_validate({"privacy": privacy}), privacy=told)


def charge(folder: Path, number: int, release: str, multiplier: float, epsilon: float) -> None:
    mechanism = f"Gaussian noise, multiplier {multiplier:g}"
    line = {"round": number, "release": release, "mechanism": mechanism, "epsilon-so-far": epsilon}
    RunFolder(folder).append("privacy.jsonl", line)


def test_the_page_on_privacy_has_the_same_words() -> None:
    (figure,) = (part for part in PAGE.read_text().split("```") if part.startswith("text\nmode "))
    head, *lines = figure.removeprefix("text\n").splitlines()
    assert re.split(r"  +", head)[1:] == [name.lower() for name in PLACES]
    shown = {line.split()[0]: line for line in lines if "──►" in line}
    for mechanism in MECHANISMS:
        cells = [cell.strip() for cell in shown[mechanism.name].removeprefix(mechanism.name).split("──►")]
        assert cells == words_of(mechanism)
    (clear,) = (line for line in lines if line.startswith("privacy.sums=clear"))
    assert NoMechanism.way.single in clear
    assert tuple(shown) == MECHANISMS.names


def words_of(mechanism: type[Mechanism]) -> list[str]:
    way = mechanism.way
    return [way.client, way.total, way.server, way.models]


@pytest.mark.parametrize("mode", MECHANISMS.names)
def test_a_report_shows_the_way_of_an_answer(make_run: MakeRun, mode: str) -> None:
    folder = made(make_run, mode=mode, **{"minimum-cohort": 25})
    html = render(folder).read_text(encoding="utf-8")
    text = " ".join(re.sub(r"<[^>]+>", " ", html).split())
    for words in (
        *words_of(MECHANISMS.find(mode)),
        "Who sees what",
        "Sees sums of at least 25 real clients, nothing else.",
    ):
        assert words in text
    assert ("its student&#39;s quality" in text) == (mode == "none")
    bound = "What they learn of one user is bounded by epsilon 4 at delta 1e-05 in the whole run (add-remove, no ampl"
    assert (bound in text) == (mode != "none")


def test_who_sees_single_answers_is_told(make_run: MakeRun) -> None:
    places = who_sees_what(Run.read(made(make_run, sums="single")))
    assert places[0].sees.endswith("Nothing is masked.")
    assert places[1].does == "no sum: answers do not add up"
    assert places[2].sees == "Sees every single answer: one history each."


def test_what_else_leaves_is_told(make_run: MakeRun) -> None:
    options = {"panel-share": 0.1, "metrics-share": 0.2, "student": {"epsilon": 8}}
    run = Run.read(made(make_run, sums="clear", mode="local"))
    client, _, server, _ = who_sees_what(replace(run, config={"privacy": options}))
    assert client.sees == (
        "What leaves: what items it has (once), its answer, its student's quality (once). Nothing is masked. "
        "Its student is trained under DP-SGD."
    )
    assert server.sees == "Sees every single answer: all its noise in each."


def test_every_release_has_its_share_of_the_budget(make_run: MakeRun) -> None:
    folder = made(make_run, mode="central", **{"panel-share": 0.1, "metrics-share": 0.2})
    charge(folder, 1, "panel", 3.4, 1.1)
    charge(folder, 1, "answers", 1.2, 2.9)
    charge(folder, 2, "answers", 1.2, 3.5)
    charge(folder, 2, "answers", 1.2, 3.5)  # again, after the run was resumed
    charge(folder, 3, "metrics", 2.5, 4.0)
    rows = budget(Run.read(folder))
    assert [(row.name, row.count, row.epsilon) for row in rows] == [
        ("What items clients have", 1, 1.1),
        ("Answers", 2, 3.5),
        ("The student's quality", 1, 4.0),
    ]
    assert [row.share for row in rows] == pytest.approx([0.1, 0.7, 0.2])
    html = render(folder).read_text(encoding="utf-8")
    assert "Share of the budget" in html
    assert "Gaussian noise, multiplier 3.4" in html
    assert "All of one user, δ = 1e-05, add-remove, no amplification." in html


def test_a_run_that_does_not_say_what_was_seen_has_no_figure(make_run: MakeRun) -> None:
    folder = make_run(privacy={"mode": "none"})
    assert "Who sees what" not in render(folder).read_text(encoding="utf-8")


def test_a_sum_of_more_clients_than_there_are_is_not_promised(make_run: MakeRun) -> None:
    server = who_sees_what(Run.read(made(make_run, **{"minimum-cohort": 1000})))[2]
    assert "849 real clients would refuse a sum of fewer than 1000" in server.sees
