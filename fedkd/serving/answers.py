"""Answers of the service as JSON, and refusals with their reason."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

MOST_NAMED = 10
"""Mistakes and unknown ids that a refusal names."""


class Answer(Response):
    """JSON in ASCII, which holds whatever text somebody sent."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the bytes."""
        return json.dumps(content, separators=(",", ":")).encode()


class RefusedError(Exception):
    """A request that cannot be answered.

    Parameters
    ----------
    status : int
        4xx.
    reason : str
        Why, and what is allowed.
    unknown : sequence of str
        Ids that no item has.
    """

    def __init__(self, status: int, reason: str, unknown: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.status, self.reason, self.unknown = status, reason, unknown


def refusal(status: int, reason: str, headers: Mapping[str, str] | None = None, unknown: Sequence[str] = ()) -> Answer:
    """Return the answer that says why there is no other."""
    content: dict[str, Any] = {"error": reason}
    if unknown:
        content["unknown"] = list(unknown)[:MOST_NAMED]
    return Answer(content, status, dict(headers or {}))


def explained(error: RequestValidationError) -> str:
    """Return what is wrong with a request, without what was sent."""
    lines = [f"{_place(detail['loc'])}: {detail['msg']}" for detail in error.errors()[:MOST_NAMED]]
    return "; ".join(lines)


def _place(location: Sequence[str | int]) -> str:
    """Return the place of a mistake, ``histories.0.3``; a key of the sender's own is cut."""
    return ".".join(str(part)[:40] for part in location[1:]) or str(location[0])
