"""The rows of a run's baselines, and what is said of those that have none."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from flwr.common.logger import log

from fedkd.cli.progress import tracked
from fedkd.errors import UserError
from fedkd.evaluation.evaluator import Lists
from fedkd.evaluation.metrics import METRICS
from fedkd.evaluation.rows import BY_NAME
from fedkd.models.base import Recommender
from fedkd.models.watching import shown_by
from fedkd.runs.config import Config
from fedkd.runs.federation import Federation
from fedkd.runs.folder import RunFolder
from simulations import analysis
from simulations.baselines import UnmadeError, central_model, compressed, federated_baseline, trained_as, unmade
from simulations.simulate import simulate
from simulations.student_tuning import chosen, tuned

INFO = 20


class Made(NamedTuple):
    """A baseline that was trained in one place: its model, the seconds of its training, and what it recommends."""

    model: Recommender
    seconds: float
    lists: Lists


@dataclass
class BaselineRows:
    """The outcome of a run's baselines.

    Attributes
    ----------
    models : dict of str to dict
        The row of the summary of every baseline that has one.
    lists : dict of str to Lists
        The recommendations of those that are trained in one place.
    notes : dict of str to str
        What is said of those that are not quite what their name says.
    left_out, failed : dict of str to str
        Reasons: of those that cannot be made of these data, and of those that failed.
    made : dict
        The latest of these, by its training and settings, of which another row may be, too.
    """

    models: dict[str, Any] = field(default_factory=dict)
    lists: dict[str, Lists] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    made: dict[Any, Made] = field(default_factory=dict)

    def add(self, name: str, config: Config, together: Federation, folder: Path) -> None:
        """Train and measure a baseline."""
        if reason := unmade(name, config, together):
            raise UnmadeError(reason)
        if BY_NAME[name].kind == "protocol":
            self.models[name] = federated_row(name, config, folder)
            return
        self._add_central(name, config, together)

    def _add_central(self, name: str, config: Config, together: Federation) -> None:
        """Train and measure a baseline that is trained in one place."""
        alone, settings = BY_NAME[name].alone, {}
        if alone == "tuned":
            algorithm = tuned(config.algorithm, together.setup(config))
            settings = {"settings": chosen(config.algorithm, algorithm)}
            config = config.model_copy(update={"algorithm": algorithm})
        made = self._made(name, config, together)
        self.lists[name] = made.lists
        if note := compressed(name, made.model, config, together):
            self.notes[name] = note
        measured = analysis.row(made.model, made.lists, config, together, deployed=bool(alone))
        self.models[name] = measured | {"training-seconds": made.seconds} | settings

    def _made(self, name: str, config: Config, together: Federation) -> Made:
        """Return a baseline that is trained in one place; the same under another name is not trained again."""
        key = (trained_as(name, config), config.algorithm)
        if key not in self.made:
            self.made.clear()  # large models must not stand in memory together
            begun = time.monotonic()
            model = central_model(name, config, together)
            seconds = time.monotonic() - begun
            self.made[key] = Made(model, seconds, analysis.lists_of(model, together, name))
        return self.made[key]


def baseline_rows(config: Config, together: Federation, folder: RunFolder) -> BaselineRows:
    """Train and measure all baselines; one without a result has no row, and the others go on."""
    rows = BaselineRows()
    asked = config.evaluation.baselines
    for number, name in enumerate(asked, 1):
        log(INFO, "baseline %d of %d: %s", number, len(asked), name)
        try:
            with shown_by(tracked):
                rows.add(name, config, together, folder.path / "baselines" / name)
        except UnmadeError as reason:
            rows.left_out[name] = str(reason)
        except UserError as error:
            rows.failed[name] = str(error)
    return rows


def federated_row(name: str, config: Config, folder: Path) -> dict[str, Any]:
    """Run a baseline that is a protocol itself, in a folder of its own, and return its row of the summary.

    Raises
    ------
    UserError
        Nobody answered, or nobody measured the student.
    """
    other = federated_baseline(name, config, folder)
    if not RunFolder(folder).finished:
        simulate(other)
    if not config.evaluation.keep_baselines:
        RunFolder(folder).forget_models()
    done = RunFolder.at(folder, other).read_json("summary.json")
    if METRICS[0] not in done["models"].get("student", {}):
        raise UserError("no client measured its student")
    return {**done["models"]["student"], "traffic": done["traffic"]}
