"""A real server and real clients on one machine: the same numbers as in one process, and what devices keep."""

from pathlib import Path

import pytest

from clients.student import recommendations
from tests.simulations.deployment import SILOS, SMALL, Deployment, in_process, means, programs_of, read


@pytest.mark.network
@pytest.mark.slow
def test_real_processes_give_the_same_metrics(tmp_path: Path) -> None:
    alone = in_process(tmp_path / "in-process")
    with Deployment(tmp_path, SMALL) as deployment:
        assert deployment.silos == SILOS
        deployment.serve()
        clients = [deployment.connect(client, "--minimum-cohort", str(SILOS)) for client in range(SILOS)]
        deployment.finish()
        for client in clients:
            deployment.kill(client)
        deployment.wait_for(lambda: not programs_of(tmp_path), served=False)
    summary = read(deployment.folder)
    assert means(summary, "student") == pytest.approx(means(alone, "student"), abs=5e-4)
    assert "ndcg@20" not in summary["models"]["teacher"], "no deployed server can measure its teacher on private users"
    assert summary["traffic"].pop("handshake-bytes-per-client") > alone["traffic"].pop("handshake-bytes-per-client")
    for told in ("evaluation-up-bytes-per-client", "total-up-bytes-per-client"):  # under masks the users' sums alone
        assert summary["traffic"].pop(told) > 0 < alone["traffic"].pop(told)
    assert summary["traffic"] == pytest.approx(alone["traffic"], rel=0.02)
    for client in range(SILOS):
        found = recommendations(deployment.data / f"client-{client}", 3)
        assert set(found["rank"]) == {1, 2, 3}
        assert found["title"].str.len().all()
