from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from fedkd.serving.app import application
from fedkd.serving.options import Limits, ServiceOptions
from tests.deployment.runs import finished_run

LIMITS = Limits(histories=3, length=30, k=20, body_bytes=5000, feedback_bytes=10_000)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def client(run: Path, tmp_path: Path) -> Iterator[TestClient]:
    """A service of a small model, in this process."""
    app = application(ServiceOptions(folder=run, feedback=tmp_path / "feedback.jsonl", limits=LIMITS))
    with TestClient(app) as found:
        yield found
