"""The protocol that README shows works as it stands there."""

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from fedkd.messages.types import Answers, Asks, Kind, Spec
from fedkd.models.popularity import Popularity, fit_popularity
from fedkd.protocols.base import GlobalStudent, State

README = Path(__file__).resolve().parents[2] / "README.md"
NAMES = (Answers, Asks, Kind, Spec, Popularity, fit_popularity, GlobalStudent, State)


@pytest.mark.parametrize("cohort_size", [1, 7])
def test_the_example_recommends_what_is_popular(run_federation: Any, cohort_size: int) -> None:
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", README.read_text(), re.S) if "class " in block)
    scope: dict[str, Any] = {thing.__name__: thing for thing in NAMES}
    scope |= {"np": np, "Literal": Literal}
    exec(code, scope)
    outcome = run_federation(scope["MeanScores"](), rounds=1, cohort_size=cohort_size)
    train = outcome.federation.fold.train
    assert outcome.metrics[0]["clients"] == train.num_users
    np.testing.assert_allclose(outcome.scores[0], train.popularity() / train.num_users, atol=1e-3)


def test_the_schedules_cost_what_stands_beside_them(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = (
        block for block in re.findall(r"```python\n(.*?)```", README.read_text(), re.S) if "adaptive=True" in block
    )
    exec(code, {})
    spent, fits = capsys.readouterr().out.split()
    assert [f"{float(spent):.2f}", fits] == re.findall(r"# ([\w.]+):", code)
