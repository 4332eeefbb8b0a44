"""The model that is served now: replaced by a newer one in its folder without losing a request."""

import asyncio
import logging
from pathlib import Path

from fedkd.deployment.deployed import Deployed
from fedkd.deployment.folder import MANIFEST
from fedkd.errors import UserError
from fedkd.serving.metrics import Metrics

EVERY = 1.0
"""Seconds between two looks at the folder."""

log = logging.getLogger("uvicorn.error")


class Current:
    """The model that is served now.

    Who answers a request takes ``deployed`` once and keeps it to the end, so a model that is replaced meanwhile lives
    as long as it is needed.

    Parameters
    ----------
    folder : Path
        The folder that is served, and watched.
    threads : int
        Threads of one call of the model.
    metrics : Metrics
        Where loads are counted.
    """

    def __init__(self, folder: Path, threads: int, metrics: Metrics) -> None:
        self.folder, self.threads, self.metrics = folder, threads, metrics
        self.mark = self._mark()
        self.deployed = self._opened()

    def _opened(self) -> Deployed:
        found = Deployed.open(self.folder, self.threads)
        found.lists([[]], 1)  # the first call of a program is slow, and so is the first search
        found.titles.search("zqxj")
        self.metrics.loaded.inc()
        return found

    def _mark(self) -> tuple[int, int, int] | None:
        """Return what changes when the folder's manifest is replaced; None while there is none."""
        try:
            found = (self.folder / MANIFEST).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def look(self) -> bool:
        """Load the folder's model if its manifest is another one than before; say whether it is served now."""
        mark = self._mark()
        if mark in (None, self.mark):
            return False
        self.mark = mark
        try:
            self.deployed = self._opened()
        except UserError as error:
            self.metrics.refused.inc()
            log.error("the new model is not served, the old one is: %s", error)
            return False
        log.info("serving %s, version %s", self.deployed.name, self.deployed.version)
        return True

    async def watch(self) -> None:
        """Look at the folder again and again; loading happens beside the requests."""
        while True:
            await asyncio.sleep(EVERY)
            await asyncio.to_thread(self.look)
