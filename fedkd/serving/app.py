"""The HTTP service: lists, items, feedback, health and metrics, and a page for people."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from fedkd.serving import requests
from fedkd.serving.answers import Answer, RefusedError, explained, refusal
from fedkd.serving.current import Current
from fedkd.serving.feedback import FeedbackLog
from fedkd.serving.guard import Guard
from fedkd.serving.lists import refuse_unknown, task, within
from fedkd.serving.metrics import Metrics
from fedkd.serving.options import ServiceOptions

PAGE = Path(__file__).with_name("page.html")
REFUSED: dict[int | str, dict[str, Any]] = {
    status: {"model": requests.Problem} for status in (400, 404, 408, 413, 415, 422)
}
Depth = Annotated[int, Query(ge=1)]
Text = Annotated[str, Query(max_length=requests.LONGEST_ID)]


class Service:
    """The model, the catalogue and the log that answers are made with.

    Parameters
    ----------
    options : ServiceOptions
        What is served.
    """

    def __init__(self, options: ServiceOptions) -> None:
        self.options, self.limits, self.metrics = options, options.limits, Metrics()
        self.current = Current(options.folder, options.threads, self.metrics)
        feedback = options.feedback
        self.feedback = None if feedback is None else FeedbackLog(feedback, self.limits.feedback_bytes)

    def answer(self, content: dict[str, Any]) -> Answer:
        """Return an answer with the version of the model that is served."""
        return Answer(content, headers={"x-model": self.current.deployed.version})

    async def recommend(self, request: requests.RecommendRequest) -> Answer:
        """Return a list for every history: the best items that are not in it."""
        asked = task(request, self.current.deployed, self.limits)
        found = asked.lists() if asked.small else await asyncio.to_thread(asked.lists)
        self.metrics.lists.inc(len(found))
        self.metrics.unknown.inc(sum(map(len, asked.ignored)))
        shown = [[asked.deployed.shown(item) | {"score": score} for item, score in one] for one in found]
        content: dict[str, Any] = {"items": shown}
        if request.unknown == "ignore":
            content["unknown"] = asked.ignored
        return Answer(content, headers={"x-model": asked.deployed.version})

    async def items(self, q: Text = "", k: Depth = 10) -> Answer:
        """Return the items whose title or id is like a text."""
        within(k, self.limits.k, "k")
        deployed = self.current.deployed
        exact = [deployed.titles.position[q]] if q in deployed.titles.position else []
        found = [*exact, *(item for item in deployed.titles.search(q, k) if item not in exact)][:k]
        return self.answer({"items": [deployed.shown(item) for item in found]})

    async def similar(self, id: Text, k: Depth = 10) -> Answer:
        """Return what is recommended to somebody who has had this item alone."""
        within(k, self.limits.k, "k")
        deployed = self.current.deployed
        if id not in deployed.titles.position:
            refuse_unknown([id])
        found = deployed.similar(deployed.titles.position[id], k)
        return self.answer({"items": [deployed.shown(item) | {"score": score} for item, score in found]})

    async def keep(self, feedback: requests.Feedback) -> Answer:
        """Keep what somebody did with a list."""
        if self.feedback is None:
            raise RefusedError(404, "this service keeps no feedback; start it with --feedback FILE")
        known, parts = self.current.deployed.titles.position, (feedback.shown, feedback.chosen, feedback.history or [])
        for part in parts:
            within(len(part), self.limits.length, "a list of ids")
        if strange := [item for part in parts for item in part if item not in known]:
            raise RefusedError(422, "the catalogue does not know these ids", strange)
        if not set(feedback.chosen) <= set(feedback.shown):
            raise RefusedError(422, "chosen holds an item that is not among those shown")
        if feedback.propensities is not None and len(feedback.propensities) != len(feedback.shown):
            raise RefusedError(422, "propensities must be one for every item shown")
        await asyncio.to_thread(self.feedback.append, feedback.model_dump(exclude_none=True))
        self.metrics.feedback.inc()
        return self.answer({"kept": True})

    async def health(self) -> Answer:
        """Say that the process answers."""
        return Answer({"status": "ok"})

    async def ready(self) -> Answer:
        """Say which model is served."""
        deployed = self.current.deployed
        about = {"name": deployed.name, "version": deployed.version, "items": len(deployed.catalogue)}
        return self.answer({"status": "ready", "categories": list(deployed.catalogue.categories), **about})

    async def counts(self) -> PlainTextResponse:
        """Return the counts of the service for Prometheus."""
        return PlainTextResponse(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def page(self) -> HTMLResponse:
        """Return the page for people."""
        return HTMLResponse(PAGE.read_text(encoding="utf-8"))


def application(options: ServiceOptions) -> FastAPI:
    """Return the service as an ASGI application; a ``UserError`` if its folder cannot be served."""
    service = Service(options)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(service.current.watch())
        yield
        watching.cancel()

    app = FastAPI(
        title="fedkd",
        version=version("fedkd"),
        description="Recommendations of a distilled student.",
        lifespan=lifespan,
        docs_url=None,  # that page loads its scripts from elsewhere; the description itself is at /openapi.json
        redoc_url=None,
    )
    _routes(app, service)
    _refusals(app)
    paths = frozenset(route.path for route in app.routes if hasattr(route, "path"))
    app.add_middleware(Guard, limits=options.limits, metrics=service.metrics, paths=paths)
    app.state.service = service
    return app


def _routes(app: FastAPI, service: Service) -> None:
    app.post("/recommend", response_model=requests.Lists, responses=REFUSED)(service.recommend)
    app.get("/items", response_model=requests.Items, responses=REFUSED)(service.items)
    app.get("/similar", response_model=requests.Similar, responses=REFUSED)(service.similar)
    app.post("/feedback", responses=REFUSED)(service.keep)
    app.get("/health")(service.health)
    app.get("/ready")(service.ready)
    app.get("/metrics", response_class=PlainTextResponse)(service.counts)
    app.get("/", response_class=HTMLResponse, include_in_schema=False)(service.page)


def _refusals(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Answer:
        if request.method == "POST" and "json" not in request.headers.get("content-type", ""):
            return refusal(415, "send JSON, with the header content-type: application/json")
        return refusal(422, explained(error))

    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> Answer:
        return refusal(error.status, error.reason, unknown=error.unknown)

    @app.exception_handler(HTTPException)
    async def other(_: Request, error: HTTPException) -> Answer:
        return refusal(error.status_code, f"{error.detail}; /openapi.json describes the service", error.headers)
