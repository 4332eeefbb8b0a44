"""The service: lists, filters, refusals with a reason, limits, feedback, counts."""

import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from fedkd.deployment.deployed import Deployed
from fedkd.serving import lists
from fedkd.serving.guard import Guard
from fedkd.serving.metrics import Metrics
from fedkd.serving.options import Limits
from tests.deployment.runs import catalogue
from tests.serving.conftest import LIMITS

IDS = catalogue().ids.tolist()


def listed(client: TestClient, **body: Any) -> list[list[dict[str, Any]]]:
    answer = client.post("/recommend", json={"histories": [[IDS[0], IDS[3]]], "k": 5} | body)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def ids(found: list[dict[str, Any]]) -> list[str]:
    return [item["id"] for item in found]


def refused(client: TestClient, status: int = 422, **body: Any) -> str:
    answer = client.post("/recommend", json={"histories": [[IDS[0]]], "k": 5} | body)
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"])


@pytest.mark.parametrize("inline", [lists.INLINE, 0])
def test_lists_are_the_models_best_with_titles(
    client: TestClient, run: Path, inline: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "INLINE", inline)
    found = listed(client, histories=[[IDS[0], IDS[3]], []])
    deployed = Deployed.open(run)
    expected = deployed.lists([[0, 3], []], 5)
    for one, other in zip(found, expected, strict=True):
        assert ids(one) == [IDS[item] for item, _ in other]
        np.testing.assert_allclose([item["score"] for item in one], [score for _, score in other], rtol=1e-5)
        assert [item["title"] for item in one] == [deployed.titles.shown[item] for item, _ in other]


def test_filters_leave_what_is_asked_for(client: TestClient) -> None:
    assert set(ids(listed(client, allow=IDS[:6])[0])) == {IDS[1], IDS[2], IDS[4], IDS[5]}
    assert IDS[1] not in ids(listed(client, allow=IDS[:6], deny=[IDS[1]])[0])
    odd = ids(listed(client, categories=["Odd"], k=20)[0])
    assert odd
    assert all(IDS.index(item) % 2 == 1 for item in odd)
    assert len(listed(client, categories=["Odd", "Even"], k=20)[0]) == 20
    assert listed(client, categories=[]) == listed(client, allow=[]) == [[]]
    assert "did you mean Odd" in refused(client, categories=["Ood"])


def test_unknown_ids_are_refused_by_name_or_ignored_by_wish(client: TestClient) -> None:
    answer = client.post("/recommend", json={"histories": [["x&é", IDS[0]]], "deny": ["y"]})
    assert answer.status_code == 422
    assert answer.json()["unknown"] == ["x&é", "y"]
    assert "does not know 2 of the ids" in answer.json()["error"]
    kept = client.post("/recommend", json={"histories": [["x", IDS[0], IDS[3]]], "k": 5, "unknown": "ignore"}).json()
    assert kept["unknown"] == [["x"]]
    assert kept["items"] == listed(client)


@pytest.mark.parametrize(
    "body",
    [
        {"histories": []},
        {"histories": [[]] * 4},
        {"histories": [IDS[:1] * 31]},
        {"histories": [[7]]},
        {"histories": "abc"},
        {"histories": None},
        {"k": 0},
        {"k": 21},
        {"k": 10**40},
        {"k": 2.5},
        {"k": True},
        {"history": []},
        {"allow": IDS[:1] * 31},
        {"unknown": "perhaps"},
        {"histories": [["x" * 501]]},
    ],
)
def test_what_is_wrong_or_too_much_is_refused(client: TestClient, body: dict[str, Any]) -> None:
    assert refused(client, **body)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 2000,
        b"null",
        b'{"histories": [["\\ud800"]]}',
        b'{"histories": NaN}',
        b'{"k": 1e999}',
    ],
)
def test_what_is_no_request_is_refused(client: TestClient, content: bytes) -> None:
    answer = client.post("/recommend", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]


def test_json_must_be_announced(client: TestClient) -> None:
    answer = client.post("/recommend", content=b'{"histories": [[]]}')
    assert answer.status_code == 415
    assert "content-type: application/json" in answer.json()["error"]


def test_nothing_that_is_sent_is_a_fault_of_the_service(client: TestClient) -> None:
    rng = random.Random(0)
    good = json.dumps({"histories": [[IDS[0], IDS[1]]], "k": 3}).encode()
    for _ in range(80):
        content = bytearray(good)
        for _ in range(rng.randint(1, 6)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path, kind = rng.choice(["/recommend", "/feedback"]), rng.choice(["application/json", "text/plain", "\u00e9"])
        answer = client.post(path, content=bytes(content), headers={"content-type": kind.encode()})
        assert answer.status_code < 500
        assert answer.status_code == 200 or answer.json()["error"]


def test_a_request_that_is_too_large_is_refused_whether_it_says_so_or_not(client: TestClient) -> None:
    large = b" " * (LIMITS.body_bytes + 1)
    for content in (large, iter([large[:3000], large[3000:]])):
        answer = client.post("/recommend", content=content)
        assert answer.status_code == 413
        assert "5,000 bytes" in answer.json()["error"]


def test_a_request_that_takes_too_long_is_ended() -> None:
    sent: list[Any] = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await asyncio.sleep(9)

    async def never() -> Any:
        await asyncio.sleep(9)

    async def whole() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def keep(message: Any) -> None:
        sent.append(message)

    guard, scope = (
        Guard(slow, Limits(seconds=0.02), Metrics(), frozenset()),
        {"type": "http", "headers": [], "path": "/"},
    )
    begun = time.monotonic()
    for receive, status in ((never, 408), (whole, 503)):
        sent.clear()
        asyncio.run(guard(dict(scope), receive, keep))
        assert sent[0]["status"] == status
        assert b"0.02 seconds" in sent[1]["body"]
    assert time.monotonic() - begun < 5


def test_items_are_found_by_title_and_id(client: TestClient) -> None:
    found = client.get("/items", params={"q": "alie", "k": 2}).json()["items"]
    assert [item["title"] for item in found] == ["Alien (1979)", "Aliens (1986)"]
    assert client.get("/items", params={"q": IDS[4]}).json()["items"][0]["id"] == IDS[4]
    assert client.get("/items").json() == {"items": []}
    assert client.get("/items", params={"q": "x" * 501}).status_code == 422
    assert client.get("/items", params={"q": "x", "k": 21}).status_code == 422
    assert client.get("/items?q=%ff%00").status_code == 200


def test_similar_items_are_those_for_somebody_with_one(client: TestClient) -> None:
    found = client.get("/similar", params={"id": IDS[2], "k": 4}).json()["items"]
    assert found == listed(client, histories=[[IDS[2]]], k=4)[0]
    assert client.get("/similar", params={"id": "nothing"}).json()["unknown"] == ["nothing"]
    assert client.get("/similar").status_code == 422


def test_feedback_is_kept_with_what_was_shown(client: TestClient, tmp_path: Path) -> None:
    told = {"shown": IDS[:3], "chosen": IDS[1:2], "propensities": [0.5, 0.25, 0.25], "history": [IDS[9]], "model": "v1"}
    assert client.post("/feedback", json=told).json() == {"kept": True}
    assert client.post("/feedback", json={"shown": IDS[:1]}).status_code == 200
    path = tmp_path / "feedback.jsonl"
    first, second = map(json.loads, path.read_text().splitlines())
    assert abs(first.pop("time") - time.time()) < 60
    assert first == told
    assert second["chosen"] == []
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"shown": []},
        {"shown": ["x"]},
        {"shown": IDS[:2], "chosen": IDS[5:6]},
        {"shown": IDS[:2], "propensities": [0.5]},
        {"shown": IDS[:1], "propensities": [0.0]},
        {"shown": IDS[:1] * 31},
    ],
)
def test_feedback_that_cannot_be_is_refused(client: TestClient, tmp_path: Path, body: dict[str, Any]) -> None:
    assert client.post("/feedback", json=body).status_code == 422
    assert not (tmp_path / "feedback.jsonl").exists()


def test_the_log_of_feedback_does_not_grow_for_ever(client: TestClient, tmp_path: Path) -> None:
    for _ in range(90):
        client.post("/feedback", json={"shown": IDS[:5]})
    files = sorted(tmp_path.glob("feedback.jsonl*"))
    assert [path.name for path in files] == ["feedback.jsonl", "feedback.jsonl.lock", "feedback.jsonl.old"]
    assert 3000 < sum(path.stat().st_size for path in files) <= LIMITS.feedback_bytes
    assert all(json.loads(line) for path in files for line in path.read_text().splitlines())


def test_health_counts_and_description(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    about = client.get("/ready").json()
    assert (about["status"], about["items"], about["categories"]) == ("ready", 40, ["Even", "Odd"])
    listed(client)
    client.get("/nowhere")
    counts = client.get("/metrics").text
    assert 'fedkd_requests_total{path="/recommend",status="200"} 1.0' in counts
    assert 'fedkd_requests_total{path="other",status="404"} 1.0' in counts
    assert "fedkd_lists_total 1.0" in counts
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/recommend", "/items", "/similar", "/feedback", "/health", "/ready", "/metrics"} <= paths.keys()


def test_the_wrong_place_or_way_is_said(client: TestClient) -> None:
    assert "/openapi.json" in client.get("/nowhere").json()["error"]
    assert client.get("/recommend").status_code == 405


def test_the_page_needs_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/").text
    assert "<!doctype html>" in page
    assert "http://" not in page
    assert "https://" not in page
