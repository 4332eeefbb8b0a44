"""A finished run as reports read it: summary, rounds, configuration, environment and charges.

``summary.json`` must hold ``models.<name>.<metric>`` = ``{"mean", "low", "high"}``, ``models.<name>.parameters``
and ``.bytes``, ``traffic``, ``speed``, ``privacy.{mode, epsilon, delta}``, ``data.fingerprint``, ``split.fingerprint``,
``seed``.

It may hold besides, and reports then show:

- ``privacy.statement``: the plain sentence of the banner; ``privacy.students``: what noisy training of students cost;
- ``privacy.sums``: ``secure``, ``clear`` or ``single``, for the figure of trust boundaries;
- ``ratios.<model>/<model>.<metric>``: an interval of a ratio of two means, over users resampled jointly;
- ``slices.<model>.<slice>.<metric>``: an interval; slices are named ``history ...`` and ``... items``;
- ``models.<name>.coverage@10``, ``.novelty@10``, ``.diversity@10``, ``.agreement@10`` (with the teacher): numbers;
- ``models.<name>.precision``: the number format of ``bytes``: float16 as sent to devices, float32 as trained;
- ``profiles.<name>``: ``clients``, ``parameters``, ``bytes`` and metrics (intervals) of a device profile;
- ``models.<name>.flops``, ``.latency-ms.{p50, p95}``, ``.training-seconds``: what a list and the training cost;
- ``models.tuned.settings``: the settings that were chosen, by name;
- ``distillation.gain.<model>``: an interval of what the student has more than it has without a teacher, paired over
  users; ``distillation.of-teacher.<model>``: one of the share of the teacher's mean;
- ``lists.<property>.{before, after, change}``: what ``lists.steps`` change in the student's lists; the change is an
  interval, paired over users;
- ``models.<name>.traffic``: like ``traffic``, for a row that a federation of its own trained;
- ``gate.{decision, part, confidence, compression, tried, checks}``: the gate, the steps that made its student smaller,
  all that were tried (``compression``, ``bytes``, ``decision``, ``margin``), and of each check ``requirement``,
  ``decision``, ``sentence``, ``value``, ``bound``, ``users``, ``more-users``;
- ``exchange.<what>``: a sentence about where it was summed;
- ``clients.{registered, answered}``, ``data.{users, items, interactions, public-users, private-users, dropped}``,
  ``split.{kind, target}``, ``name``, ``algorithm``, ``rounds``.

A line of ``rounds.jsonl`` is ``{"round", "seconds", "answers", "failures": {reason: count}, "metrics":
{"student.ndcg@10": ...}, "traffic": {"up-bytes", "down-bytes"}}``; a round that was not evaluated has no such metrics.
A line of ``privacy.jsonl`` with a ``release`` says what that release was: ``mechanism``, ``epsilon-so-far``.
"""

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fedkd.errors import UserError
from fedkd.evaluation.metrics import METRICS
from fedkd.evaluation.rows import BY_NAME, OURS, OWN, report_order
from fedkd.runs.folder import RunFolder

Json = Mapping[str, Any]


class Interval(NamedTuple):
    """A mean with the ends of its 95 % interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def read(cls, value: Any) -> "Interval | None":
        """Read ``{"mean", "low", "high"}`` or a plain number; None for anything else."""
        if isinstance(value, Mapping) and {"mean", "low", "high"} <= value.keys():
            return cls(float(value["mean"]), float(value["low"]), float(value["high"]))
        if isinstance(value, int | float) and not isinstance(value, bool):
            return cls(float(value), float(value), float(value))
        return None


@dataclass(frozen=True)
class Run:
    """The contents of a finished run's files.

    Attributes
    ----------
    path : Path
        The run's folder.
    summary, environment, config : mapping
        The files of these names.
    rounds, charges : list of mapping
        The lines of ``rounds.jsonl``, and those of ``privacy.jsonl`` that tell of a release.
    """

    path: Path
    summary: Json
    environment: Json
    config: Json
    rounds: list[Json]
    charges: list[Json]

    @classmethod
    def read(cls, path: Path) -> "Run":
        """Read a run's folder.

        Raises
        ------
        UserError
            The folder is not a run's, the run has not finished, or a file is damaged.
        """
        folder = RunFolder.open(path)
        if not folder.finished:
            raise UserError(f"{path} has no summary.json: the run has not finished; continue it with --resume {path}")
        summary = folder.summary()
        try:
            config = tomllib.loads((path / "config.toml").read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path / 'config.toml'} is damaged: {error}") from None
        charges: list[Json] = [line for line in folder.lines("privacy.jsonl") if "release" in line]
        rounds: list[Json] = list(folder.rounds())
        return cls(path, summary, folder.read_json("environment.json"), config, rounds, charges)

    def part(self, name: str) -> Json:
        """Return one table of the summary, empty where it is absent."""
        found = self.summary.get(name, {})
        return found if isinstance(found, Mapping) else {}

    @property
    def protected(self) -> bool:
        """Whether answers were protected, and so cost a budget."""
        return self.part("privacy").get("epsilon") is not None

    @property
    def models(self) -> list[str]:
        """The models that were measured, in the order of the tables; unknown ones last."""
        measured = [name for name in self.part("models") if any(self.interval(name, metric) for metric in METRICS)]
        return sorted(measured, key=report_order)

    def interval(self, model: str, metric: str) -> Interval | None:
        """Return a metric of a model, if it was measured."""
        return Interval.read(self.part("models").get(model, {}).get(metric))

    def ratio(self, model: str, other: str, metric: str) -> Interval | None:
        """Return the ratio of two models' means, with its interval where the run computed one."""
        measured = Interval.read(self.part("ratios").get(f"{model}/{other}", {}).get(metric))
        above, below = self.interval(model, metric), self.interval(other, metric)
        if above is None or below is None or below.mean == 0:
            return None
        return measured or Interval(*3 * (above.mean / below.mean,))

    def failures(self) -> Counter[str]:
        """Return the number of lost answers by reason, over all rounds."""
        lost: Counter[str] = Counter()
        for line in self.rounds:
            lost.update({str(reason): int(count) for reason, count in line.get("failures", {}).items()})
        return lost

    def curve(self, metric: str) -> list[tuple[int, float]]:
        """Return (round, value) of a metric such as ``student.ndcg@20``, for the rounds that measured it."""
        return [(line["round"], line["metrics"][metric]) for line in self.rounds if metric in line.get("metrics", {})]

    def traffic(self, model: str) -> Json:
        """Return the bytes that training a model moved; empty for models that no federation trained."""
        if model in OURS:
            return self.part("traffic")
        found = self.part("models").get(model, {}).get("traffic", {})
        return found if isinstance(found, Mapping) else {}

    def trained_bytes(self, model: str) -> float:
        """Return what a registered client sent and received to train a model, without evaluation; 0 where none did."""
        if model in BY_NAME and BY_NAME[model].source == OWN:
            return 0.0  # who trains alone sends nothing
        if model in OURS and (spent := self.bytes_per_client()):
            return max(spent.values())
        found = self.traffic(model)
        total, evaluation = (
            sum(float(found.get(f"{part}-{way}-bytes-per-client", 0.0)) for way in ("up", "down"))
            for part in ("total", "evaluation")
        )
        return total - evaluation

    def bytes_per_client(self) -> dict[int, float]:
        """Return the bytes up and down that a registered client had spent on average after each round."""
        clients = max(1, int(self.part("clients").get("registered", 0) or self.part("data").get("clients", 1)))
        spent, out = 0.0, {}
        for line in self.rounds:
            spent += sum(count for name, count in line.get("traffic", {}).items() if name in ("up-bytes", "down-bytes"))
            out[int(line["round"])] = spent / clients
        return out
