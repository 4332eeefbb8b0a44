"""The service's log of feedback."""

import json
from pathlib import Path

import pytest

from fedkd.serving.feedback import FeedbackLog


def test_what_two_people_say_within_a_millisecond_is_two_different_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([1_800_000_000.000_1, 1_800_000_000.000_2])
    monkeypatch.setattr("fedkd.serving.feedback.time.time", lambda: next(times))
    log = FeedbackLog(tmp_path / "feedback.jsonl", 1 << 20)
    for _ in range(2):
        log.append({"chosen": ["a"]})
    first, second = (json.loads(line) for line in log.path.read_text().splitlines())
    assert first["time"] < second["time"]
