"""Counts of the service, in the text format of Prometheus."""

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The folder through which several processes add up their counts; prometheus-client reads it from the environment."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """Counts of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "fedkd_requests", "Requests by path and status.", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "fedkd_request_seconds", "Seconds until an answer.", ["path"], buckets=SECONDS, registry=self.registry
        )
        self.lists = Counter("fedkd_lists", "Lists that were made.", registry=self.registry)
        self.unknown = Counter("fedkd_unknown_ids", "Ids that no item has.", registry=self.registry)
        self.feedback = Counter("fedkd_feedback", "Lines of feedback that were kept.", registry=self.registry)
        self.loaded = Counter("fedkd_models_loaded", "Models that were loaded.", registry=self.registry)
        self.refused = Counter("fedkd_models_refused", "New models that could not be loaded.", registry=self.registry)

    def text(self) -> bytes:
        """Return all counts, those of all processes where there are several."""
        if SHARED not in os.environ:
            return generate_latest(self.registry)
        whole = CollectorRegistry()
        MultiProcessCollector(whole)  # type: ignore[no-untyped-call]
        return generate_latest(whole)
