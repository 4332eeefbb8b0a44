"""An error that a device's owner can mend leaves as words, and no program adds a traceback to it."""

from pathlib import Path

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from clients.app import app
from fedkd.runs.config import flatten, load


def test_a_device_says_what_mends_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)
    context = Context(1, 1, {"data-path": str(tmp_path)}, RecordDict(), flatten(load(None, ())))
    reply = app(Message(RecordDict(), 1, "query.whoami"), context)
    assert reply.has_error()
    for said in (reply.error.reason, *caplog.messages):
        assert "make it of the device's own data with python -m clients.prepare" in said
        assert "Traceback" not in said
