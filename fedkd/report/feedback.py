"""The report of a feedback loop: tables and pictures of every policy over the iterations, with intervals."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fedkd.evaluation.evaluator import over_seeds
from fedkd.report.charts import Axis, Chart, Series
from fedkd.report.page import templates
from fedkd.report.run import Interval

CAVEAT = (
    "A simulation shows what follows from its assumptions about people: gains here are no gains with real users, whose "
    "tastes, attention and reactions nobody has written down."
)

MEASURES = {
    "utility": "True utility",
    "regret": "Regret",
    "click-rate": "Click rate",
    "coverage": "Coverage",
    "gini": "Gini",
    "popularity-lift": "Popularity lift",
    "diversity-within": "Diversity within users",
    "diversity-between": "Diversity between users",
    "utility-minorities": "Utility of minorities",
    "utility-new-users": "Utility of new users",
    "distance": "Student to teacher",
}
"""Measures of a policy, with their titles."""

ESTIMATES = {"ips": "IPS", "snips": "SNIPS", "dr": "Doubly robust"}
"""Estimates of what lists are worth, with their titles."""

LATE = 0.25
"""The share of the last iterations over which tables average."""


def late_means(results: pd.DataFrame) -> pd.DataFrame:
    """Return the means of the last quarter of the iterations, a row for every policy and seed.

    Parameters
    ----------
    results : DataFrame
        A row for every policy, seed and iteration, with the measures as columns.
    """
    last = int(results["iteration"].max())
    kept = results[results["iteration"] > last - max(1, round(LATE * last))]
    return kept.groupby(["policy", "seed"], sort=False).mean(numeric_only=True).drop(columns="iteration")


def summary(results: pd.DataFrame) -> dict[str, dict[str, Interval]]:
    """Return mean and interval over seeds of every measure, by policy and measure; what was not measured is absent."""
    means = late_means(results)
    out: dict[str, dict[str, Interval]] = {}
    for policy in dict.fromkeys(results["policy"]):
        own = means.loc[policy]
        measured = [name for name in own.columns if own[name].notna().any()]
        out[policy] = {name: _interval(own[name].dropna().to_numpy(np.float64)) for name in measured}
    return out


def gain(results: pd.DataFrame, policy: str, other: str) -> Interval:
    """Return what a policy has more of true utility than another, paired over seeds."""
    means = late_means(results)["utility"]
    return _interval((means.loc[policy] - means.loc[other]).to_numpy(np.float64))


def utility_chart(results: pd.DataFrame, policies: Sequence[str]) -> Chart:
    """Return true utility against the iterations."""
    series = []
    for place, policy in enumerate(policies):
        own = results[results["policy"] == policy].pivot_table(index="iteration", columns="seed", values="utility")
        values = [_interval(row.to_numpy(np.float64)) for _, row in own.iterrows()]
        looks = ("student", "teacher", "ease", "other", "level", "popularity")
        series.append(Series(policy, looks[place % len(looks)], [float(at) for at in own.index], values))
    several = results["seed"].nunique() > 1
    beneath = "Mean over worlds with Student's 95 % interval." if several else "One world: no interval."
    return Chart(
        "utility",
        "True utility of the lists",
        f"Expected clicks of a list by the hidden truth. {beneath}",
        Axis("iteration", "rounds"),
        "expected clicks",
        tuple(series),
        (),
    )


def write_feedback(results: pd.DataFrame, title: str, folder: Path) -> Path:
    """Write ``feedback.parquet`` (every iteration), ``feedback.json`` and ``feedback.html``, and return the page."""
    folder.mkdir(parents=True, exist_ok=True)
    found = summary(results)
    results.to_parquet(folder / "feedback.parquet", index=False)
    numbers = {
        policy: {name: value._asdict() for name, value in measured.items()} for policy, measured in found.items()
    }
    (folder / "feedback.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    policies = list(found)
    page = (
        templates()
        .get_template("feedback.html.j2")
        .render(
            title=title,
            found=found,
            measures=MEASURES,
            estimates=ESTIMATES,
            chart=utility_chart(results, policies),
            gains={other: gain(results, policies[0], other) for other in policies[1:]},
            caveat=CAVEAT,
        )
    )
    path = folder / "feedback.html"
    path.write_text(page, encoding="utf-8")
    return path


def _interval(values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Interval:
    found = Interval.read(over_seeds(values))
    assert found is not None
    return found
