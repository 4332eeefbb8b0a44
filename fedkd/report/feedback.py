"""The report of a feedback loop: tables and pictures of every policy over the iterations, with intervals."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fedkd.evaluation.evaluator import over_seeds
from fedkd.report.charts import Axis, Chart, Series
from fedkd.report.formatting import percent
from fedkd.report.page import templates
from fedkd.report.run import Interval

CAVEAT = (
    "A simulation shows what follows from its assumptions about people: gains here are no gains with real users, whose "
    "tastes, attention and reactions nobody has written down."
)

MEASURES = {
    "utility": "True utility",
    "epsilon": "Epsilon spent",
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

SPENT = "epsilon"
"""The measure that adds up over the iterations, so that the last one counts."""

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
    means = kept.groupby(["policy", "seed"], sort=False).mean(numeric_only=True).drop(columns="iteration")
    if SPENT in results:
        means[SPENT] = results[results["iteration"] == last].set_index(["policy", "seed"])[SPENT]
    return means


def by_iteration(results: pd.DataFrame, policy: str) -> list[dict[str, Interval]]:
    """Return mean and interval over seeds of every measure of a policy, iteration by iteration, ``iteration`` too."""
    own = results[results["policy"] == policy].drop(columns=["policy", "seed"])
    return [_measured(of_one) for _, of_one in own.groupby("iteration")]


def release_text(row: Mapping[str, Interval]) -> str:
    """Return whether the clients' answers were released in an iteration, in words; empty without protection."""
    if "refused" not in row:
        return ""
    share = row["refused"].mean
    part = "" if share in (0.0, 1.0) else f" in {percent(share)} of the worlds"
    return f"refused{part}: the budget is used up" if share else "made"


def summary(results: pd.DataFrame) -> dict[str, dict[str, Interval]]:
    """Return mean and interval over seeds of every measure, by policy and measure; what was not measured is absent."""
    means = late_means(results)
    out: dict[str, dict[str, Interval]] = {}
    for policy in dict.fromkeys(results["policy"]):
        out[policy] = _measured(means.loc[policy])
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


def write_feedback(results: pd.DataFrame, title: str, promise: str, folder: Path) -> Path:
    """Write ``feedback.parquet`` (every world), ``feedback.json`` and ``feedback.html``, and return the page.

    Parameters
    ----------
    results : DataFrame
        As of ``late_means``.
    title, promise : str
        The title of the page, and what was protected, in plain sentences.
    folder : Path
        The folder, which is made where there is none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = summary(results)
    policies = list(found)
    iterations = {policy: by_iteration(results, policy) for policy in policies}
    results.to_parquet(folder / "feedback.parquet", index=False)
    numbers = {
        "privacy": promise,
        "last-quarter": {policy: _plain(measured) for policy, measured in found.items()},
        "iterations": {policy: list(map(_plain, rows)) for policy, rows in iterations.items()},
    }
    (folder / "feedback.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    page = (
        templates()
        .get_template("feedback.html.j2")
        .render(
            title=title,
            found=found,
            promise=promise,
            iterations=iterations,
            release=release_text,
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


def _measured(means: pd.DataFrame) -> dict[str, Interval]:
    """Return the interval over the rows of every column that holds a number."""
    measured = [name for name in means.columns if means[name].notna().any()]
    return {name: _interval(means[name].dropna().to_numpy(np.float64)) for name in measured}


def _plain(measured: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    return {name: value._asdict() for name, value in measured.items()}


def _interval(values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Interval:
    found = Interval.read(over_seeds(values))
    assert found is not None
    return found
