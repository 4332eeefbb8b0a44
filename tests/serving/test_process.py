"""The service as a real process: a person's page in a real browser, a swap under load, and Ctrl-C."""

import http.client
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from fedkd.cli.terminal import INTERRUPTED
from fedkd.deployment.compression.table import step
from fedkd.deployment.export import export
from tests.deployment.runs import catalogue
from tests.simulations.deployment import ROOT, heed_interrupts

pytestmark = pytest.mark.network

PATIENCE = 900.0
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HEADLESS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
IDS = catalogue().ids.tolist()
JSON = {"content-type": "application/json"}
PAGE = """
(async () => {
  const at = id => document.getElementById(id), wait = async test => {
    for (let turn = 0; turn < 400 && !test(); turn++) await new Promise(done => setTimeout(done, 50));
    if (!test()) throw new Error("waited in vain: " + test);
  };
  const titles = id => [...at(id).querySelectorAll(".title")].map(part => part.textContent);
  await wait(() => titles("list").length === 10);
  const first = titles("list");
  at("search").value = "alie"; at("search").dispatchEvent(new Event("input"));
  await wait(() => titles("found").length === 2);
  at("found").querySelector("button").click();
  await wait(() => titles("history").length === 1 && !titles("list").includes("Alien (1979)"));
  at("category").value = "Odd"; at("category").dispatchEvent(new Event("change"));
  await wait(() => !titles("list").some(title => first.includes(title) && title === "Heat (1995)"));
  at("list").querySelector("button").click();
  await wait(() => titles("history").length === 2);
  at("history").querySelector("button").click();
  await wait(() => titles("history").length === 1);
  return JSON.stringify({first, history: titles("history"), problem: at("problem").textContent});
})()
"""


@contextmanager
def browser() -> Iterator[str]:
    """Start a browser without a window; yield the address of its only tab's debugger."""
    assert BROWSER is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [BROWSER, *HEADLESS, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            told = Path(profile) / "DevToolsActivePort"
            until = time.monotonic() + PATIENCE
            while not told.is_file() or not told.read_text():
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
            tabs = asked(int(told.read_text().split()[0]), "/json")
            yield next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
        finally:
            process.terminate()
            process.wait(PATIENCE)


def asked(port: int, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def typed(tab: str, address: str) -> dict[str, Any]:
    """Open the page and use it as a person does; return what it shows in the end."""
    with connect(tab, max_size=None) as socket:
        send(socket, 1, "Page.navigate", url=address)
        time.sleep(0.2)
        while (
            send(socket, 2, "Runtime.evaluate", expression="document.readyState")["result"].get("value") != "complete"
        ):
            time.sleep(0.05)
        answer = send(socket, 3, "Runtime.evaluate", expression=PAGE, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return dict(json.loads(answer["result"]["value"]))


def send(socket: Any, number: int, method: str, **params: Any) -> Any:
    socket.send(json.dumps({"id": number, "method": method, "params": params}))
    while (message := json.loads(socket.recv(PATIENCE))).get("id") != number:
        pass
    return message["result"]


class Load(threading.Thread):
    """Somebody who asks again and again over one connection."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port, self.ended, self.versions = port, threading.Event(), list[str | None]()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        while not self.ended.wait(0.005):  # leaves the processor to the service
            connection.request("POST", "/recommend", json.dumps({"histories": [[IDS[0]]]}), JSON)
            answer = connection.getresponse()
            answer.read()
            self.versions.append(answer.headers["x-model"] if answer.status == 200 else None)
        connection.close()


def test_the_service_as_people_and_programs_use_it(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export(run, folder)
    command = [sys.executable, "-m", "fedkd.cli.main", "serve", str(folder), "--port", "0", "--workers", "1"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split(" at ")[1].split(";")[0]
        assert address.startswith("http://127.0.0.1:")
        port = int(address.rpartition(":")[2])
        if (loaded := Path(f"/proc/{process.pid}/maps")).exists():
            assert "onnxruntime" in loaded.read_text()
            assert "libtorch" not in loaded.read_text()
        load = Load(port)
        load.start()
        export(run, folder, steps=[step("int8")])
        until = time.monotonic() + PATIENCE
        while len(set(load.versions)) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        load.ended.set()
        load.join(PATIENCE)
        assert len(set(load.versions)) == 2
        assert None not in load.versions
        if BROWSER is not None:
            with browser() as tab:
                shown = typed(tab, address)
            assert len(shown["first"]) == 10
            assert len(shown["history"]) == 1
            assert shown["problem"] == ""
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == INTERRUPTED
        assert said.strip().splitlines()[-1] == "stopped; the same command serves again"
    finally:
        process.kill()
        process.wait()
    if BROWSER is None:
        pytest.skip("no browser is installed here, so the page was not used in one; the rest of this test has passed")
