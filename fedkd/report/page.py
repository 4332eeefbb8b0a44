"""Making ``report.html`` from the files of a run's folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fedkd.evaluation.metrics import METRICS, PRIMARY
from fedkd.evaluation.rows import EASE, EVERYONE, OURS, ROWS, learnt_from, title
from fedkd.gate.judgement import plain
from fedkd.report import formatting
from fedkd.report.distillation import distillation_table
from fedkd.report.formatting import bytes_text, metric_title, percent
from fedkd.report.pictures import learning_curve, quality_against_bytes, slice_chart
from fedkd.report.plots import theme
from fedkd.report.run import Interval, Run
from fedkd.report.trust_boundaries import budget, who_sees_what

METRIC = PRIMARY
"""The metric of the headline and of the charts."""

ASPECTS = {
    "coverage@10": "Catalogue shown",
    "novelty@10": "Novelty (bits)",
    "diversity@10": "Diversity",
    "agreement@10": "Agreement with teacher",
}

TRAFFIC = {
    "up-bytes-per-client-round": "Up, an answer",
    "down-bytes-per-client-round": "Down, a round",
    "total-up-bytes-per-client": "Up, the whole run",
    "total-down-bytes-per-client": "Down, the whole run",
    "evaluation-up-bytes-per-client": "of which evaluation, up",
    "evaluation-down-bytes-per-client": "of which evaluation, down",
    "handshake-bytes-per-client": "Besides, keys and shares of secure sums",
    "catalogue-bytes-per-client": "Besides, the catalogue, once",
}

DATA = {
    "users": "Users",
    "items": "Items",
    "interactions": "Interactions",
    "public-users": "Public users",
    "private-users": "Private users",
    "clients": "Clients",
    "fingerprint": "Data fingerprint",
}


def render(folder: Path) -> Path:
    """Write ``report.html`` into a finished run's folder: one file that needs nothing else, not even a network.

    Parameters
    ----------
    folder : Path
        The run's folder.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    UserError
        The folder is not a run's, the run has not finished, or a file is damaged.
    """
    run = Run.read(folder)
    page = templates().get_template("report.html.j2").render(context(run))
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def context(run: Run) -> dict[str, Any]:
    """Return the values that the template of the report shows."""
    described = [(name, row) for name in run.models if not ASPECTS.keys().isdisjoint(row := run.part("models")[name])]
    return {
        "run": run,
        "headline": headline(run),
        "subtitle": subtitle(run),
        "cards": cards(run),
        "privacy": run.part("privacy"),
        "places": who_sees_what(run),
        "budget": budget(run),
        "best": max((value.high for name in run.models if (value := run.interval(name, METRIC))), default=1.0),
        "charts": [learning_curve(run, METRIC), quality_against_bytes(run, METRIC)],
        "slices": [slice_chart(run, METRIC, "history "), slice_chart(run, METRIC, " items")],
        "profiles": profiles(run),
        "distillation": distillation_table([run]),
        "aspects": {name: text for name, text in ASPECTS.items() if any(name in row for _, row in described)},
        "described": described,
        "lists": {ASPECTS.get(name) or metric_title(name): row for name, row in run.part("lists").items()},
        "traffic": {text: run.part("traffic")[name] for name, text in TRAFFIC.items() if name in run.part("traffic")},
        "exchange": exchange(run),
        "failures": run.failures().most_common(),
        "data": {text: run.part("data")[name] for name, text in DATA.items() if name in run.part("data")},
        "dropped": {name: count for name, count in run.part("data").get("dropped", {}).items() if count},
        "gate": run.part("gate"),
        "configuration": configuration_text(run.config),
        "metric": METRIC,
        "metrics": METRICS,
    }


def profiles(run: Run) -> dict[str, Any]:
    """Return the row of every device profile, with its quality as an interval, or None where it was not measured."""
    return {name: {**row, "quality": Interval.read(row.get(METRIC))} for name, row in run.part("profiles").items()}


def headline(run: Run) -> str:
    """Return the result of the run in one sentence."""
    student, teacher = (run.ratio(name, EASE, METRIC) for name in OURS)
    if student is not None and teacher is not None:
        return (
            f"The federated student reaches {percent(student.mean)} of centralised EASE, "
            f"the teacher {percent(teacher.mean)}."
        )
    for name in OURS:
        ratio, value = run.ratio(name, EASE, METRIC), run.interval(name, METRIC)
        if ratio is not None:
            return f"The federated {name} reaches {percent(ratio.mean)} of centralised EASE."
        if value is not None:
            return f"The federated {name} reaches {metric_title(METRIC)} {value.mean:.3f} on private users."
    return "The run finished, and no model was measured."


def subtitle(run: Run) -> str:
    """Return algorithm, data, rounds, split and seed in one line."""
    split, rounds = run.part("split"), run.summary.get("rounds", len(run.rounds))
    parts = [f"{run.summary['algorithm']} distillation" if run.summary.get("algorithm") else ""]
    parts += [str(run.config.get("data", {}).get("source", ""))]
    parts += [f"{rounds} round" + ("" if rounds == 1 else "s")]
    parts += [f"{split['kind']} split, {split.get('target', 'test')} part" if "kind" in split else ""]
    parts += [f"seed {run.summary['seed']}" if "seed" in run.summary else ""]
    return "\N{NO-BREAK SPACE}· ".join(part for part in parts if part)


def cards(run: Run) -> list[tuple[str, str, str]]:
    """Return the key figures: what, how much, and a line beneath."""
    traffic, clients = run.part("traffic"), run.part("clients")
    out = [_quality_card(run, name) for name in OURS if run.interval(name, METRIC)]
    if "total-up-bytes-per-client" in traffic:
        down = bytes_text(traffic.get("total-down-bytes-per-client", 0))
        out.append(
            ("Sent by a client", bytes_text(traffic["total-up-bytes-per-client"]), f"received {down}, whole run")
        )
    if "registered" in clients:
        lost = clients.get("failed-answers", sum(run.failures().values()))
        answered = f"{clients.get('answered', 0):,}"
        out.append(("Clients that answered", answered, f"of {clients['registered']:,}; {lost:,} answers lost"))
    return out


def _quality_card(run: Run, name: str) -> tuple[str, str, str]:
    value, ratio = run.interval(name, METRIC), run.ratio(name, EASE, METRIC)
    assert value is not None
    below = f"95 % interval {value.low:.3f} – {value.high:.3f}"
    if ratio is not None:
        below = f"{percent(ratio.mean)} of EASE"
        below += f" ({100 * ratio.low:.1f} – {100 * ratio.high:.1f})" if ratio.low < ratio.high else ""
    return f"{name.capitalize()} {metric_title(METRIC)}", f"{value.mean:.3f}", below


def exchange(run: Run) -> dict[str, str]:
    """Return a sentence on every sum and average: where it was taken."""
    clear = not run.protected
    out = {"Clients' answers": "Received by the server one by one and added up there, in the clear."} if clear else {}
    out |= {str(what): str(where) for what, where in run.part("exchange").items()}
    if "student" in run.models and clear:
        out["Student's metrics"] = "Measured on each client's device; the server averaged one row a user."
    elif "student" in run.models:
        out["Student's metrics"] = (
            "Measured in the simulation on private users, outside byte counts and outside the promise of privacy."
        )
    if value := run.part("privacy").get("metrics", {}).get(f"student.private.{METRIC}"):
        error = run.part("privacy")["metrics"][f"student.private.{METRIC}.noise"]
        out["Student's metrics, as the server learnt them"] = (
            f"{metric_title(METRIC)} {value:.3f} ± {error:.3f} (one standard error of the noise alone), the mean over "
            "clients: one noised sum of the devices' own measurements, paid for out of the budget."
        )
    if "teacher" in run.models:
        out["Teacher's metrics"] = (
            "Measured in the simulation on private users, outside byte counts; a deployment cannot measure them."
        )
    if {row.name for row in ROWS if row.source == EVERYONE} & set(run.models):
        out["Rows trained in one place"] = "For comparison only: they saw every user's data, which no federation has."
    return out


def configuration_text(config: Mapping[str, Any]) -> str:
    """Return a configuration as TOML in which absolute paths keep only their last part."""
    return tomli_w.dumps(_without_folders(dict(config)))


def _without_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_folders(inner) for key, inner in value.items()}
    return f"…/{Path(value).name}" if isinstance(value, str) and Path(value).is_absolute() else value


def templates() -> Environment:
    """Return the templates with the words they use; everything shown is escaped."""
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "bytes": bytes_text,
        "percent": percent,
        "count": formatting.count_text,
        "title_of": title,
        "metric_title": metric_title,
        "heading": formatting.heading,
        "learnt_from": learnt_from,
        "half_width": formatting.half_width,
        "epsilon": formatting.epsilon_text,
        "conditions": formatting.conditions,
        "half_width_percent": formatting.half_width_percent,
        "plain": plain,
    }
    environment.globals |= {"ours": OURS, "theme": theme()}
    return environment
