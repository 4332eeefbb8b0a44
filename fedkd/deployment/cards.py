"""The model card and the privacy card of an exported model, from what the run's folder holds.

Mitchell et al., Model cards for model reporting, FAccT 2019.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fedkd.deployment.parity import Parity
from fedkd.evaluation.metrics import METRICS
from fedkd.evaluation.rows import BY_NAME
from fedkd.report.formatting import bytes_text, count_text, interval_text, metric_title, percent
from fedkd.report.run import Interval, Run
from fedkd.report.trust_boundaries import budget, who_sees_what

STUDENT = "student"


@dataclass(frozen=True)
class Size:
    """The size of a model before and after the export.

    Attributes
    ----------
    parameters : int
        Numbers of the student.
    before, after : int
        Bytes of its arrays as trained, and of the exported file.
    """

    parameters: int
    before: int
    after: int


def model_card(run: Run, manifest: Mapping[str, Any], size: Size, parity: Parity) -> str:
    """Return the card that says what the model is, how good it is, and what it is not for."""
    measured = [metric for metric in METRICS if run.interval(STUDENT, metric)]
    beside = [name for name in run.models if name in BY_NAME]
    rows = [[_title(name), *(_cell(run.interval(name, metric)) for metric in measured)] for name in beside]
    return _page(
        "model_card.md.j2",
        run=run,
        data=run.part("data"),
        split=run.part("split"),
        student=run.part("models").get(STUDENT, {}),
        manifest=manifest,
        steps=[_said(step) for step in manifest["compression"]],
        size=size,
        parity=parity,
        titles=[metric_title(metric) for metric in measured],
        rows=rows,
        slices=_slices(run),
    )


def privacy_card(run: Run) -> str:
    """Return the card that says what is promised about one person's data, and what is not."""
    return _page(
        "privacy_card.md.j2",
        run=run,
        privacy=run.part("privacy"),
        places=who_sees_what(run),
        spent=budget(run),
        released=run.protected,
    )


def _page(name: str, **facts: Any) -> str:
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # markdown
    )
    pages.filters |= {"count": count_text, "bytes": bytes_text, "percent": percent}
    return pages.get_template(name).render(**facts).strip() + "\n"


def _title(name: str) -> str:
    return f"**{BY_NAME[name].label}** (this model)" if name == STUDENT else BY_NAME[name].label


def _cell(value: Interval | None) -> str:
    return "" if value is None else interval_text(value)


def _said(step: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in step.items() if key != "kind")
    return f"{step['kind']} ({settings})" if settings else str(step["kind"])


def _slices(run: Run) -> list[tuple[str, str]]:
    """Return NDCG@20 of the student for parts of the users and items, where the run measured it."""
    found = run.part("slices").get(STUDENT, {})
    return [(name, _cell(Interval.read(values.get("ndcg@20")))) for name, values in found.items()]
