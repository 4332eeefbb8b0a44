"""An exported model over HTTP: requests a second, refusals, memory, and a new model under load.

The service and the clients are processes of this machine and share its cores. Clients keep their connections and send
the next request when they have an answer; with a rate they send that many requests a second, if the answers allow it.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import psutil
import typer
from numpy.typing import NDArray

from fedkd.cli.terminal import guarded, say
from fedkd.deployment.compression.table import compressed, step
from fedkd.deployment.deployed import Deployed
from fedkd.deployment.export import export
from fedkd.deployment.folder import ExportFolder
from fedkd.deployment.formats import onnx_bytes
from fedkd.deployment.scorers import HistoryForm, onnx_model
from fedkd.errors import UserError
from fedkd.evaluation.metrics import top_items
from fedkd.models.linear import LowRank
from fedkd.ragged import Ragged
from fedkd.runs.processes import free_port, running
from fedkd.runs.reach import Address

CALLS, WARM = 3000, 100
HISTORY, RANK = 50, 32
PAUSE, TRIES = 0.2, 300
SWAP_SECONDS = 20.0


@dataclass
class Tally:
    """Latencies and answers as clients saw them.

    Attributes
    ----------
    seconds : list of float
        Of every request, until its answer.
    statuses : Counter
        How many answers had a status; 0 stands for a connection that broke.
    versions : Counter
        Which model answered.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)


class Client:
    """A connection that is kept.

    Parameters
    ----------
    port : int
        Where the service listens.
    tally : Tally
        Where answers are counted.
    """

    def __init__(self, port: int, tally: Tally) -> None:
        self.port, self.tally = port, tally
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, body: bytes) -> None:
        """Send a request and wait for the answer."""
        begun = time.perf_counter()
        try:
            status, version = await self._exchanged(body)
        except (OSError, EOFError, ValueError):
            self.streams, status, version = None, 0, ""
        self.tally.seconds.append(time.perf_counter() - begun)
        self.tally.statuses[status] += 1
        self.tally.versions[version] += 1

    async def _exchanged(self, body: bytes) -> tuple[int, str]:
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        head = f"POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        writer.write(head.encode() + b"\r\n\r\n" + body)
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if line)
        await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            writer.close()
            self.streams = None
        return int(first.split()[1]), headers.get("x-model", "")


async def load(port: int, bodies: list[bytes], connections: int, seconds: float, rate: float = 0.0) -> Tally:
    """Send requests over some connections for some seconds; at most ``rate`` a second, if that is positive."""
    tally, end = Tally(), time.monotonic() + seconds

    async def one(number: int) -> None:
        client, rng, due = Client(port, tally), random.Random(number), time.monotonic() + number / max(rate, 1e-9)
        while (now := time.monotonic()) < end:
            if rate and due > now:
                await asyncio.sleep(min(due, end) - now)
                continue
            due += connections / rate if rate else 0.0
            await client.ask(rng.choice(bodies))

    await asyncio.gather(*(one(number if rate else 0) for number in range(connections)))
    return tally


async def malformed(port: int, good: bytes, count: int) -> Tally:
    """Send requests in which some bytes are others, or that are something else altogether."""
    tally, rng = Tally(), random.Random(0)
    client = Client(port, tally)
    for _ in range(count):
        await client.ask(_spoilt(good, rng))
    return tally


def _spoilt(good: bytes, rng: random.Random) -> bytes:
    kinds = (b"", b"[" * 5000, b'{"histories": [["x"]]}', b'{"histories": 1e999}', rng.randbytes(200), good[:-7])
    if rng.random() < 0.5:
        return rng.choice(kinds)
    content = bytearray(good)
    for _ in range(rng.randint(2, 9)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    return bytes(content)


def latencies(items: int) -> NDArray[np.float64]:
    """Return the seconds of an int8 student of rank 32 and of the list, for one user in one thread.

    Their shape is [2, calls]. The second row is the processor's time, to which a busy machine adds less.
    """
    rng = np.random.default_rng(0)
    student = LowRank.from_factors(rng.normal(size=(items, RANK)), rng.normal(size=(items, RANK)))
    model = compressed(student, [step("int8")])
    folder = ExportFolder(Path(), {"model": "model.onnx"}, {"model.onnx": onnx_bytes(model)})
    run, form = onnx_model(folder, 1), HistoryForm(items, None)
    found = []
    for _ in range(WARM + CALLS):
        history = Ragged.from_rows([rng.choice(items, HISTORY, replace=False)], np.int64)
        begun, busy = time.perf_counter(), time.process_time()
        top_items(run(form.padded(history)), history, 10)
        found.append((time.perf_counter() - begun, time.process_time() - busy))
    return np.array(found[WARM:]).T


def said(name: str, tally: Tally, seconds: float) -> str:
    """Return a line about what clients saw."""
    p50, p95, p99 = 1000 * np.quantile(tally.seconds, (0.5, 0.95, 0.99))
    statuses = ", ".join(f"{status or 'broken'}: {count:,}" for status, count in sorted(tally.statuses.items()))
    return (
        f"{name}: {len(tally.seconds) / seconds:,.0f} requests a second, p50 {p50:.1f} ms, p95 {p95:.1f} ms, "
        f"p99 {p99:.1f} ms; {statuses}"
    )


def memory(process: int) -> float:
    """Return the memory of a process and its children in MB."""
    whole = psutil.Process(process)
    return float(sum(one.memory_info().rss for one in (whole, *whole.children(recursive=True))) / 1e6)


def processor(process: int) -> float:
    """Return the processor's seconds that a process and its children have taken."""
    whole = psutil.Process(process)
    times = [one.cpu_times() for one in (whole, *whole.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


@guarded
def main(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    seconds: Annotated[float, typer.Option(help="How long clients ask.", min=1.0)] = 20.0,
    connections: Annotated[int, typer.Option(help="Connections that ask at a time.", min=1)] = 8,
    rate: Annotated[float, typer.Option(help="Requests a second; as many as there are answers without it.")] = 0.0,
    bad: Annotated[int, typer.Option("--malformed", help="Malformed requests.", min=1)] = 10_000,
    workers: Annotated[int, typer.Option(help="Processes of the service.", min=1)] = 1,
) -> None:
    """Measure an int8 export of a run: the model alone, and as a service under load."""
    before = os.getloadavg()[0]
    say(f"{os.cpu_count()} cores; load {before:.1f} before anything was measured")
    for what, found in zip(("", " of the processor"), latencies(10_000), strict=True):
        p50, p95, p99 = 1000 * np.quantile(found, (0.5, 0.95, 0.99))
        say(f"model and list, 10,000 items, int8, one user: p50 {p50:.3f}, p95 {p95:.3f}, p99 {p99:.3f} ms{what}")
    with TemporaryDirectory() as place:
        folder = Path(place) / "model"
        done = export(run, folder, "onnx", [step("int8")])
        say(f"exported: {done.size.after:,} bytes; {100 * (done.parity.lost or 0):.2f} % of NDCG@20 lost")
        with service(folder, workers) as (process, port):
            bodies = _bodies(Deployed.open(folder).titles.ids)
            asyncio.run(load(port, bodies, connections, 2.0))
            busy = processor(process)
            tally = asyncio.run(load(port, bodies, connections, seconds, rate))
            busy = (processor(process) - busy) / len(tally.seconds)
            say(f"{said('lists', tally, seconds)}; the service's processor: {1000 * busy:.2f} ms a request")
            say(refusals(process, port, bodies[0], bad))
            say(swap(port, bodies, connections, run, folder))
    say(f"load {os.getloadavg()[0]:.1f} at the end")


@contextmanager
def service(folder: Path, workers: int) -> Iterator[tuple[int, int]]:
    """Serve a folder in a process of its own; yield the process and the port."""
    port, log = free_port(), folder.parent / "log"
    command = [sys.executable, "-m", "fedkd.cli.main", "serve", str(folder), "--port", str(port)]
    with running([*command, "--workers", str(workers)], os.environ, log) as started:
        for _ in range(TRIES):
            if not Address("127.0.0.1", port).trouble(None):
                break
            time.sleep(PAUSE)
        else:
            raise UserError(f"the service did not start: {log.read_text()[-500:]}")
        yield started.pid, port


def refusals(process: int, port: int, good: bytes, count: int) -> str:
    """Return a line about malformed requests and the memory of the service before and after them."""
    asyncio.run(malformed(port, good, count // 10))
    before, begun = memory(process), time.monotonic()
    tally = asyncio.run(malformed(port, good, count))
    line = said("malformed", tally, time.monotonic() - begun)
    return f"{line}; memory {before:.1f} MB after the first {count // 10:,}, {memory(process):.1f} MB at the end"


def swap(port: int, bodies: list[bytes], connections: int, run: Path, folder: Path) -> str:
    """Return a line about requests while another model takes the place of the one that is served."""
    tally = asyncio.run(_swapped(port, bodies, connections, run, folder))
    return f"{said('swap under load', tally, SWAP_SECONDS)}; models that answered: {len(tally.versions)}"


async def _swapped(port: int, bodies: list[bytes], connections: int, run: Path, folder: Path) -> Tally:
    """Ask while another model takes the place of the one that is served."""
    asking = asyncio.create_task(load(port, bodies, connections, SWAP_SECONDS))
    await asyncio.sleep(2.0)
    await asyncio.to_thread(export, run, folder, "onnx", [step("int4")])
    return await asking


def _bodies(ids: list[str]) -> list[bytes]:
    rng = random.Random(0)
    chosen = [rng.sample(ids, min(HISTORY, len(ids) - 10)) for _ in range(200)]
    return [json.dumps({"histories": [history], "k": 10}).encode() for history in chosen]
