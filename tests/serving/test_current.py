"""A newer model takes the place of the one that is served, and no request notices."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from fedkd.deployment.compression.table import step
from fedkd.deployment.export import export
from fedkd.serving import current
from fedkd.serving.app import application
from fedkd.serving.options import ServiceOptions


def version(client: TestClient) -> str:
    return client.get("/ready").headers["x-model"]


def test_a_new_export_is_served_and_a_damaged_one_is_not(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedkd.deployment.folder.PAUSE", 0.0)
    folder = tmp_path / "out"
    export(run, folder, "safetensors")
    app = application(ServiceOptions(folder=folder))
    look = app.state.service.current.look
    with TestClient(app) as client:
        first = version(client)
        held = app.state.service.current.deployed
        assert not look()
        export(run, folder, "safetensors", [step("int8")])
        assert look()
        second = version(client)
        assert second != first
        assert len(held.lists([[1]], 3)[0]) == 3
        (folder / "model.safetensors").write_bytes(b"half of it")
        (folder / "manifest.json").touch()
        assert not look()
        (folder / "manifest.json").unlink()
        assert not look()
        assert version(client) == second
        assert "fedkd_models_refused_total 1.0" in client.get("/metrics").text


def test_the_folder_is_watched_while_the_service_runs(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current, "EVERY", 0.01)
    export(run, tmp_path / "out", "safetensors")
    with TestClient(application(ServiceOptions(folder=tmp_path / "out"))) as client:
        first = version(client)
        export(run, tmp_path / "out", "safetensors", [step("int4")])
        for _ in range(2000):
            answer = client.post("/recommend", json={"histories": [[]]})
            assert answer.status_code == 200
            if answer.headers["x-model"] != first:
                return
    raise AssertionError("the new model is not served")


def test_a_service_without_a_file_takes_no_feedback(run: Path) -> None:
    with TestClient(application(ServiceOptions(folder=run))) as client:
        answer = client.post("/feedback", json={"shown": ["x"]})
    assert answer.status_code == 404
    assert "--feedback FILE" in answer.json()["error"]
