"""The server's routes: one page, its assets, and a small JSON interface. `mmud.web.server.guard` stands before all of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from mmud.annotations.review import codes
from mmud.errors import ExitCode, MmudError
from mmud.web.server.guard import Guard, Hosts
from mmud.web.server.session import Session

ASSETS = {
    "review.css": "text/css",
    "review.js": "text/javascript",
    "review-store.js": "text/javascript",
    "review-picture.js": "text/javascript",
    "review-text.js": "text/javascript",
    "review-panels.js": "text/javascript",
    "rle.js": "text/javascript",
    "review.svg": "image/svg+xml",
}
MODULES = [name for name in ASSETS if name.startswith("review") and name.endswith(".js")]
"""Fetched at once: each would else wait for the one that names it."""

MAX_BODY = 2 << 20
_STATUS = {codes.DECISION_REFUSED: 400, codes.EDIT_BREAKS_TAGS: 409, codes.LABELS_CHANGED: 409}


def make_app(session: Session, token: str, hosts: Hosts) -> Guard:
    """The guarded application.

    Args:
        session: what it shows and keeps.
        token: what every address begins with.
        hosts: the server's names.
    """
    environment = Environment(loader=PackageLoader("mmud.web", "static"), autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("review.html")

    def index(request: Request) -> Response:
        mode = "browse" if session.journal is None else "review"
        facts = {"title": session.index.dataset.name, "mode": mode, "reviewer": session.reviewer, "modules": MODULES}
        return HTMLResponse(page.render(token=token, **facts), headers=_NO_STORE)

    def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in ASSETS:
            return JSONResponse({"error": {"message": "no such file"}}, 404)
        return Response(_asset(name), media_type=f"{ASSETS[name]}; charset=utf-8", headers=_NO_STORE)

    def image(request: Request) -> Response:
        data, kind = session.image(request.path_params["number"])
        # Held by the browser for as long as the page's address lives: it changes with every start of the server.
        return Response(data, media_type=kind, headers={"cache-control": "private, max-age=86400"})

    def sample(request: Request) -> Any:
        query = request.query_params
        return session.record(request.path_params["number"], query.get("reviewer", ""), query.get("others") == "1")

    async def decide(request: Request) -> Response:
        body = await _body(request)
        return _json(await run_in_threadpool(session.decide, body))

    app = Starlette(
        routes=[
            Route("/", index),
            Route("/static/{name}", asset),
            Route("/image/{number:int}", image),
            Route("/api/overview", _answering(lambda request: session.overview())),
            Route("/api/facets", _answering(lambda request: session.facets())),
            Route("/api/progress", _answering(lambda request: session.progress())),
            Route("/api/agreement", _answering(lambda request: session.agreement())),
            Route("/api/queue", _answering(lambda request: session.queue(dict(request.query_params)))),
            Route("/api/sample/{number:int}", _answering(sample)),
            Route("/api/decide", decide, methods=["POST"]),
        ],
        exception_handlers={MmudError: _refused},
    )
    return Guard(app, token, hosts)


_NO_STORE = {"cache-control": "no-store"}


@cache
def _asset(name: str) -> str:
    return files("mmud.web").joinpath("static", name).read_text("utf-8")


def _json(value: Any, status: int = 200) -> Response:
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Response(text, status, media_type="application/json", headers=_NO_STORE)


def _answering(make: Callable[[Request], Any]) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        return _json(make(request))

    return endpoint


def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, MmudError):
        raise error
    status = _STATUS.get(error.code, 422 if error.exit_code is ExitCode.FINDINGS else 500)
    return _json({"error": error.to_dict()}, status)


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request, within the bound.

    Raises:
        MmudError: MM984 for anything else.
    """
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > MAX_BODY:
            raise MmudError(codes.DECISION_REFUSED, f"more than {MAX_BODY:,} bytes")
    try:
        value = json.loads(bytes(data))
    except (ValueError, RecursionError) as error:
        raise MmudError(codes.DECISION_REFUSED, f"no JSON: {error}") from error
    if not isinstance(value, dict):
        raise MmudError(codes.DECISION_REFUSED, "no JSON object")
    return value
