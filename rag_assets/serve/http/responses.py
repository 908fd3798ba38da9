"""JSON answers, and errors as problem details (RFC 9457)."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from rag_assets.db.session.server_errors import explain_error
from rag_assets.errors import NotFoundError, RagAssetsError, ServiceError, UsageError
from rag_assets.serve.access.principal import ForbiddenError, UnauthenticatedError
from rag_assets.serve.http.admission import OverloadedError, TooManyRequestsError

# Seconds until a caller should try again, where waiting may help.
RETRY_AFTER_S = 1
_LOG = logging.getLogger("rag_assets.serve")
_PROBLEM = "application/problem+json"
# The first class that an error is of decides.
_STATUSES: tuple[tuple[type[RagAssetsError], HTTPStatus], ...] = (
    (UnauthenticatedError, HTTPStatus.UNAUTHORIZED),
    (ForbiddenError, HTTPStatus.FORBIDDEN),
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (TooManyRequestsError, HTTPStatus.TOO_MANY_REQUESTS),
    (UsageError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (OverloadedError, HTTPStatus.SERVICE_UNAVAILABLE),
    (ServiceError, HTTPStatus.SERVICE_UNAVAILABLE),
)


def json_response(value: Any, status: int = 200) -> Response:
    """`value` may be a dataclass: orjson writes its fields, ids and times faster than anything could copy them."""
    return Response(orjson.dumps(value), status, {"cache-control": "no-store"}, "application/json")


def problem(
    status: int,
    detail: str,
    *,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    body: dict[str, Any] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    body["detail"] = detail
    if errors:
        body["errors"] = errors
    return Response(orjson.dumps(body), status, {"cache-control": "no-store"} | dict(headers or {}), _PROBLEM)


def problem_of(error: BaseException) -> Response:
    """The problem that an error is; one of no known kind is logged, and said without its text."""
    explained = error if isinstance(error, RagAssetsError) else explain_error(error)
    if explained is None:
        _LOG.error("a request failed", exc_info=error)
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed inside; look at its log.")
    status = next((found for kind, found in _STATUSES if isinstance(explained, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
    headers = {}
    if status is HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = 'Bearer realm="rag_assets"'
    if status is HTTPStatus.TOO_MANY_REQUESTS or explained.transient:
        headers["retry-after"] = str(RETRY_AFTER_S)
    return problem(status, str(explained), headers=headers)


def add_error_handlers(app: FastAPI) -> None:
    async def on_error(_: Request, error: Exception) -> Response:
        return problem_of(error)

    async def on_http_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        details = {404: "there is nothing at this address; see /openapi.json.", 405: "this method is not allowed here."}
        return problem(error.status_code, details.get(error.status_code, str(error.detail)), headers=error.headers)

    app.add_exception_handler(RagAssetsError, on_error)
    app.add_exception_handler(Exception, on_error)
    app.add_exception_handler(HTTPException, on_http_error)
