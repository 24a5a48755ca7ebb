"""What a caller is told when a request cannot be answered: a status and a sentence."""

from collections.abc import Mapping
from logging import getLogger
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.routing import Match, Mount

from langchain_redis_memory import ConfigurationError, RedisMemoryError, UnstorableError

from .chat import ModelFailedError
from .schemas import Problem, readable

_DESCRIPTIONS = {
    400: "The body is no JSON.",
    404: "There is no such conversation.",
    413: "The body is too large.",
    422: "A value is missing or cannot be used; the detail names it.",
    502: "The model failed.",
    503: "The memory cannot be used now.",
}
_METHODS = ("GET", "POST", "DELETE")
_MAX_DETAIL = 1000

_logger = getLogger(__name__)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe answers with these statuses, for the description of the interface."""
    return {s: {"model": Problem, "description": _DESCRIPTIONS[s]} for s in statuses}


def explain(error: RedisMemoryError | ModelFailedError) -> tuple[int, str]:
    """Tell the status and what the caller may know; what the operator must know goes to the log."""
    match error:
        case ConfigurationError() | UnstorableError():
            return 422, str(error)
        case RedisMemoryError():
            _logger.error("the memory cannot be used: %s", error)
            return 503, "The memory cannot be used now; try again later."
        case _:
            _logger.error("the model failed", exc_info=error.__cause__)
            return 502, f"The model failed ({type(error.__cause__).__name__}); try again later."


def handle_problems(app: FastAPI) -> None:
    """Have the app answer with a `Problem` wherever a request cannot be answered."""
    app.add_exception_handler(405, _not_allowed)
    app.add_exception_handler(RequestValidationError, _refused)
    app.add_exception_handler(RedisMemoryError, _failed)
    app.add_exception_handler(ModelFailedError, _failed)


def _not_allowed(request: Request, _: Exception) -> JSONResponse:
    # Starlette names the methods of the first route with this path, and each method has its own.
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]
    asked = [(method, {**request.scope, "method": method}) for method in _METHODS]
    fit = [m for m, scope in asked if any(r.matches(scope)[0] is Match.FULL for r in routes)]
    allowed = ", ".join(fit or ("GET", "HEAD"))  # the mounted files
    return _problem(405, f"This path takes {allowed} only.", {"Allow": allowed})


def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for it
    # Without the values, which FastAPI's own answer repeats: they may be no text at all.
    return _problem(422, "; ".join(map(_sentence, error.errors())))


def _failed(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RedisMemoryError | ModelFailedError)  # noqa: S101 - as above
    return _problem(*explain(error))


def _problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": readable(detail[:_MAX_DETAIL])}, status, headers)


def _sentence(found: dict[str, Any]) -> str:
    if found["type"] == "json_invalid":
        return f"The body is no JSON: {found['ctx']['error']}"
    place = ".".join(map(str, found["loc"][1:])) or found["loc"][0]
    return f"{place}: {found['msg']}"
