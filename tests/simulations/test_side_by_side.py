"""Trials of a search in several processes are made at the same time."""

import time
from pathlib import Path

from optuna.trial import Trial

from fedkd.errors import UserError
from fedkd.runs.config import Config, load
from simulations.search import Search, tune
from simulations.study import trial_folder
from simulations.verdicts import ended

PATIENCE = 300.0
MET, ALONE = "another trial began before this one ended", "nobody else came"


class Meeting(Search):
    """A search of which a trial waits for another one that has begun, too."""

    def at(self, trial: Trial) -> Config:
        trial_folder(self.folder, trial.number).mkdir()
        end = time.monotonic() + PATIENCE
        while len(list(self.folder.glob("trial-*"))) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        raise UserError(MET if time.monotonic() < end else ALONE)


def test_two_workers_make_two_trials_at_once(tmp_path: Path) -> None:
    search = Meeting(load(None), (), 2, float("inf"), tmp_path)
    assert tune(search, 2) == "trials"
    first, second = ended(search.study().trials)
    assert [first.user_attrs["why"], second.user_attrs["why"]] == [MET, MET]
    begun = max(str(trial.datetime_start) for trial in (first, second))
    assert begun < min(str(trial.datetime_complete) for trial in (first, second))
