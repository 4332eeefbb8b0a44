import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from fedkd.errors import UserError
from fedkd.evaluation.rows import OURS, ROWS
from fedkd.lists.options import ListOptions
from fedkd.report import render
from fedkd.report.pictures import learning_curve, quality_against_bytes, slice_chart
from fedkd.report.run import Run
from fedkd.runs.config import Config
from fedkd.runs.folder import RunFolder

MakeRun = Callable[..., Path]
VOID = {"meta", "br"}


class Page(HTMLParser):
    """Collects what a browser would see, and insists that tags are balanced and ids unique."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open
        assert len(self.ids) == len(set(self.ids))
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [str(value) for name, value in attrs if name == "id"]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [str(value) for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def page(folder: Path) -> Page:
    return Page(render(folder).read_text(encoding="utf-8"))


@pytest.mark.parametrize("rounds", [1, 2, 30])
def test_a_report_shows_everything_that_was_measured(make_run: MakeRun, rounds: int) -> None:
    small = {"clients": 600, "parameters": 4321, "bytes": 17284, "ndcg@20": {"mean": 0.3, "low": 0.28, "high": 0.32}}
    large = {"clients": 249, "parameters": 98765, "bytes": 395060}
    shown = page(make_run(rounds=rounds, profiles={"small": small, "large": large}))
    for text in ("Device profiles", "small 600 4,321 17.3 kB 0.300 ±0.020", "large 249 98,765 395 kB –"):
        assert text in shown.text
    assert "The federated student reaches 99.1 % of centralised EASE, the teacher 95.6 %." in shown.text
    assert "Adjusted lists" not in shown.text  # without steps
    for row in (row for row in ROWS if not row.by_name):
        assert row.label in shown.text
    for words in ("can read that client's history", "159 kB", "0.447", "malformed: NaN in 'residual'", "105,600"):
        assert words in shown.text
    for words in ("0123456789abcdef", "fedcba9876543210", "num-server-rounds", "Dropped: duplicate interactions"):
        assert words in shown.text
    drawings = [value for tag, name, value in shown.attributes if (tag, name) == ("svg", "role")]
    assert len(drawings) == (4 if rounds > 1 else 3)  # one round makes no curve
    assert shown.text.count("Bytes for one client") == 1
    for words in ("Popularity 0.218", "10-19", "tail"):
        assert words in shown.text


def test_what_steps_change_in_lists_is_shown_with_its_interval(make_run: MakeRun) -> None:
    config = Config(lists=ListOptions(steps=("cold-users:strength=3", "diverse")))
    change = {"mean": 0.05, "low": 0.04, "high": 0.06}
    found = {
        "diversity@10": {"before": 0.7, "after": 0.75, "change": change},
        "recall@20, tail": {"before": 0.1, "after": 0.09, "change": {"mean": -0.01, "low": -0.02, "high": 0.001}},
        "coverage@10": {"before": 0.3, "after": 0.2},
    }
    shown = page(make_run(config=config, lists=found))
    assert "after cold-users:strength=3, then diverse" in shown.text
    assert "Diversity 0.7000 0.7500 +0.0500 +0.0400 to +0.0600" in shown.text
    assert "Recall@20, tail 0.1000 0.0900 -0.0100 -0.0200 to +0.0010" in shown.text
    assert "Catalogue shown 0.3000 0.2000 -0.1000 –" in shown.text


def test_a_report_needs_no_network(make_run: MakeRun) -> None:
    html = render(make_run()).read_text(encoding="utf-8")
    shown = Page(html)
    assert not [a for a in shown.attributes if a[1] in ("src", "srcset", "action", "data", "xlink:href")]
    named = {str(value) for tag, name, value in shown.attributes if name == "href" and tag == "use"}
    named |= {f"#{name}" for name in re.findall(r"url\(#([^)]+)\)", html)}
    assert named <= {f"#{name}" for name in shown.ids}  # pictures name parts of themselves alone
    assert [value for tag, name, value in shown.attributes if name == "href" and tag != "use"] == ["#results"]
    assert html.count("url(") == html.count("url(#")
    assert "http" not in html.replace("http-equiv", "")
    assert "@import" not in html
    assert "<script" not in html
    assert ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'") in shown.attributes


def test_charts_hold_the_rounds_and_slices_of_every_model(make_run: MakeRun) -> None:
    run = Run.read(make_run(rounds=7))
    curve = learning_curve(run, "ndcg@20")
    assert curve is not None
    assert [(line.style, list(line.x)) for line in curve.series] == [(name, [*range(1, 8)]) for name in OURS]
    assert [y.mean for y in curve.series[0].y] == [value for _, value in run.curve("student.ndcg@20")]
    assert "The student had 99% of its last quality after round 7. The teacher had 99% of its" in curve.description
    by_target = slice_chart(run, "ndcg@20", " items")
    assert by_target is not None
    assert by_target.x.names == ("head", "mid", "tail")
    ends = {line.style: [(y.low, y.high) for y in line.y] for line in by_target.series}
    assert list(ends) == ["student", "teacher", "ease", "popularity"]
    assert ends["student"][0] == pytest.approx((0.447 * 1.1 - 0.03, 0.447 * 1.1 + 0.03))


def test_the_numbers_of_charts_stand_in_tables_too(make_run: MakeRun) -> None:
    shown = page(make_run(rounds=2))
    for words in ("Learning curves: NDCG@20 by round", "By popularity of the target: NDCG@20 by targets"):
        assert shown.text.count(words) == 2  # the picture's title, and the table's
    assert "tail 0.089 ±0.030" in shown.text


def test_a_report_is_the_same_every_time(make_run: MakeRun) -> None:
    folder = make_run(rounds=3)
    assert render(folder).read_bytes() == render(folder).read_bytes()


def test_what_others_wrote_is_escaped(make_run: MakeRun) -> None:
    folder = make_run()
    RunFolder(folder).append("rounds.jsonl", {"round": 2, "failures": {"<script>alert(1)</script>": 4}})
    html = render(folder).read_text(encoding="utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_absolute_paths_stay_at_home(make_run: MakeRun, tmp_path: Path) -> None:
    home = Path.home() / "secret" / "ratings.csv"
    given = {"name": "x", "data": {"source": "table", "path": str(home)}, "runtime": {"run-folder": str(tmp_path)}}
    config = Config.model_validate(given)
    html = render(make_run(config=config)).read_text(encoding="utf-8")
    assert "ratings.csv" in html
    assert "secret" not in html
    assert str(tmp_path) not in html


def test_the_least_that_a_summary_may_hold_is_enough(make_run: MakeRun) -> None:
    folder = make_run()
    least: dict[str, Any] = {
        "models": {"student": {"ndcg@20": {"mean": 0.4, "low": 0.3, "high": 0.5}}},
        "seed": 0,
    }
    RunFolder(folder).write_json("summary.json", least)
    (folder / "rounds.jsonl").unlink()
    assert "The federated student reaches NDCG@20 0.400 on private users." in page(folder).text


def test_a_run_without_models_says_so(make_run: MakeRun) -> None:
    folder = make_run(rounds=3, models={}, slices={})
    assert "no model was measured" in page(folder).text


def test_rounds_without_evaluation_leave_the_curve_alone(make_run: MakeRun) -> None:
    folder = make_run()
    RunFolder(folder).append("rounds.jsonl", {"round": 2, "seconds": 1.0, "answers": 0, "failures": {}, "metrics": {}})
    assert "Learning curves" not in page(folder).text


def test_protection_is_shown_with_what_it_cost(make_run: MakeRun) -> None:
    privacy = {"mode": "central", "epsilon": 3.5, "delta": 1e-5, "statement": "Answers are noised."}
    text = page(make_run(privacy=privacy)).text
    assert "Privacy: central" in text
    assert "ε = 3.5, δ = 1e-05" in text
    assert "in the clear" not in text


def test_noisy_students_are_shown_with_their_unit(make_run: MakeRun) -> None:
    students = {"epsilon": 2.5, "delta": 1e-5, "unit": "interaction", "adjacency": "replace-one", "sampling": "Poisson"}
    text = page(make_run(privacy={"mode": "none", "epsilon": None, "delta": None, "students": students})).text
    assert "Privacy: students alone" in text
    assert "No privacy protection" not in text
    assert "ε = 2.5, δ = 1e-05, one interaction, replace-one, Poisson sampling" in text


def test_an_unfinished_run_is_refused(make_run: MakeRun) -> None:
    folder = make_run()
    (folder / "summary.json").unlink()
    with pytest.raises(UserError, match="has not finished"):
        render(folder)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run's folder"):
        render(tmp_path)


def test_a_row_with_its_own_federation_is_a_point_of_the_bytes_plot(make_run: MakeRun) -> None:
    chart = quality_against_bytes(Run.read(make_run()), "ndcg@20")
    assert chart is not None
    points = {series.style: (series.x[0], series.y[0].mean) for series in chart.series}
    assert points["fedavg"] == pytest.approx((3.5e7, 0.352))
    assert points["student"] == pytest.approx(((134_000_000 + 7_800_000) / 849, 0.447))
    assert set(points) == {"student", "teacher", "fedavg"}
    levels = {"ease", "centralised", "public-teacher", "public-student", "popularity"}
    assert {series.style for series in chart.references} == levels


def test_models_that_no_round_measured_are_points_of_the_bytes_plot_too(make_run: MakeRun) -> None:
    folder = make_run()
    rounds = [json.loads(text) | {"metrics": {}} for text in (folder / "rounds.jsonl").read_text().splitlines()]
    (folder / "rounds.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rounds))
    chart = quality_against_bytes(Run.read(folder), "ndcg@20")
    assert chart is not None
    assert {series.style: series.y[0].mean for series in chart.series} == pytest.approx(
        {"student": 0.447, "teacher": 0.431, "fedavg": 0.352}
    )


def test_sizes_say_the_precision_of_their_numbers(make_run: MakeRun) -> None:
    student = {"ndcg@20": 0.4, "parameters": 32_000, "bytes": 64_000, "precision": "float16"}
    assert "64 kB float16" in page(make_run(models={"student": student})).text


def test_wide_tables_show_that_they_scroll(make_run: MakeRun) -> None:
    html = render(make_run()).read_text(encoding="utf-8")
    for words in (".panel.scroll::before", "slide sideways", ".scroll::-webkit-scrollbar", "var(--shade)"):
        assert words in html


def test_a_run_whose_models_find_nothing_has_a_report(make_run: MakeRun) -> None:
    nothing = {"ndcg@20": {"mean": 0.0, "low": 0.0, "high": 0.0}, "parameters": 32_000, "bytes": 64_000}
    assert "0.000" in page(make_run(models={"student": nothing, "teacher": nothing}, ratios={})).text


def test_a_split_of_cold_items_says_how_to_rank_them_among_themselves(make_run: MakeRun) -> None:
    words = "python -m simulations.cold_items"
    assert words in page(make_run("cold", split={"kind": "cold-items"})).text
    assert words not in page(make_run("plain")).text
