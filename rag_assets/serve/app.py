"""The application: routes behind the gate, over one client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.responses import Response

from rag_assets.client import AsyncClient
from rag_assets.db.database import writable_engine
from rag_assets.errors import pydantic_message
from rag_assets.repositories.audit.trail import AuditTrail
from rag_assets.repositories.audit.writer import AuditWriter
from rag_assets.serve.access.authentication import Authenticator
from rag_assets.serve.access.keys import ApiKeys
from rag_assets.serve.access.signing_keys import SigningKeys
from rag_assets.serve.access.tokens import TokenVerifier
from rag_assets.serve.agents.mcp_server import AgentTools, make_mcp_server
from rag_assets.serve.core.conversations import Dialogues
from rag_assets.serve.core.knowledge import Knowledge
from rag_assets.serve.http.admission import Admission
from rag_assets.serve.http.bodies import BodyError
from rag_assets.serve.http.conversation_routes import conversation_router
from rag_assets.serve.http.gate import App, Gate, GateLimits
from rag_assets.serve.http.health_routes import Readiness, health_router
from rag_assets.serve.http.metrics import Metrics, metrics_router
from rag_assets.serve.http.openapi import describe
from rag_assets.serve.http.page_routes import page_router
from rag_assets.serve.http.responses import add_error_handlers, problem
from rag_assets.serve.http.search_routes import search_router

MCP_PATH = "/mcp"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def make_app(client: AsyncClient, *, owner_token: str = "", host: str = "127.0.0.1") -> Gate:
    """The ASGI application over an open client, which the caller closes; its lifespan loads the model.

    `owner_token`: with it, and without a key in the database, everything may be read and written. `host`: the
    address that it is served at.
    """
    settings = client.settings
    limits = GateLimits.of(settings)
    readiness = Readiness(client)
    admission = Admission(
        running=settings.serve_running, queue=settings.serve_queue, per_caller=settings.serve_per_caller
    )
    metrics = Metrics(client, admission)
    writer = None if settings.audit == "off" else AuditWriter(lambda: writable_engine(settings))
    metrics.watch_audit(writer)
    ways = {via: AuditTrail(writer, via, keeps_queries=settings.audit_queries) for via in ("http", "mcp")}
    knowledge = Knowledge(client, metrics.count_search, ways["http"])
    tools = AgentTools(
        Knowledge(client, metrics.count_search, ways["mcp"]),
        admission,
        limits,
        lambda request: request.scope["principal"],
        project_tools=settings.serve_project_tools,
    )
    sessions = StreamableHTTPSessionManager(
        make_mcp_server(tools, version("rag_assets")), max_request_body_size=limits.body_bytes
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(readiness.warm_up())
        try:
            async with sessions.run():
                yield
        finally:
            warming.cancel()
            if writer is not None:
                await asyncio.to_thread(writer.close)

    app = FastAPI(lifespan=lifespan, openapi_url="/openapi.json", docs_url=None, redoc_url=None, redirect_slashes=False)
    # Routes are tried one after the other: most requests are searches.
    app.include_router(search_router(knowledge, limits))
    app.include_router(page_router(limits, settings.serve_ui_url))
    app.include_router(health_router(readiness))
    app.include_router(metrics_router(metrics))
    app.include_router(conversation_router(Dialogues(client)))
    add_error_handlers(app)
    app.add_exception_handler(RequestValidationError, _on_invalid_parameters)
    app.add_exception_handler(BodyError, _on_body_error)
    describe(app)
    tokens = None if settings.oidc_issuer is None else TokenVerifier(settings, SigningKeys(settings))
    authenticator = Authenticator(
        client.repository(ApiKeys), owner_token, anonymous=settings.serve_anonymous, tokens=tokens
    )
    local = settings.serve_anonymous and host in LOOPBACK
    return Gate(
        app,
        authenticator,
        admission,
        limits,
        {MCP_PATH: _of_its_caller(sessions)},
        local=local,
        on_answer=metrics.count_request,
    )


def _of_its_caller(sessions: StreamableHTTPSessionManager) -> App:
    """A session of MCP belongs to the caller that began it: for others its id is unknown."""

    async def handle(scope: Any, receive: Any, send: Any) -> None:
        token = AccessToken(token="", client_id=scope["principal"].id, scopes=[])
        scope["user"] = AuthenticatedUser(token)
        await sessions.handle_request(scope, receive, send)

    return handle


async def _on_body_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, BodyError)
    return error.response


async def _on_invalid_parameters(_: Request, error: Exception) -> Response:
    """Parameters of the path and the address."""
    assert isinstance(error, RequestValidationError)
    errors = [
        {"pointer": "/".join(map(str, one["loc"])), "detail": pydantic_message(one["msg"])} for one in error.errors()
    ]
    return problem(422, f"{errors[0]['pointer']}: {errors[0]['detail']}; correct it.", errors=errors)
