"""Whether the server lives and can answer. Both need no key, and say nothing else."""

import asyncio
import time
from contextlib import suppress

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.responses import PlainTextResponse, Response

from rag_assets.client import AsyncClient
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.errors import RagAssetsError
from rag_assets.repositories.base import Repository, async_method

# For so long an answer of /readyz holds, so that callers without a key cannot make work.
READY_CACHED_S = 1.0
READY_TIMEOUT_S = 5.0
WARM_UP_AGAIN_S = 5.0


def has_live_space(connection: Connection) -> bool:
    return get_live_space(connection, "chunks") is not None


class LiveSpaces(Repository):
    has_live_space = async_method(has_live_space, "read")


class Readiness:
    """Whether the database answers, a space is live, and its model is loaded."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._spaces = client.repository(LiveSpaces)
        self._lock = asyncio.Lock()
        self._until = 0.0
        self._ready = self._is_warm = False

    async def warm_up(self) -> None:
        """Load the model; tries again until that succeeds."""
        while not self._is_warm:
            try:
                await self._client.warm_up()
                self._is_warm = True
            except RagAssetsError:
                await asyncio.sleep(WARM_UP_AGAIN_S)

    async def is_ready(self) -> bool:
        async with self._lock:
            if time.monotonic() >= self._until:
                self._ready = False
                with suppress(RagAssetsError, TimeoutError):
                    async with asyncio.timeout(READY_TIMEOUT_S):
                        self._ready = await self._spaces.has_live_space() and self._is_warm
                self._until = time.monotonic() + READY_CACHED_S
            return self._ready


def health_router(readiness: Readiness) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/healthz", response_class=PlainTextResponse)
    async def lives() -> Response:
        """Whether the process lives."""
        return PlainTextResponse("ok\n")

    @router.get("/readyz", response_class=PlainTextResponse, responses={503: {"description": "It cannot answer now."}})
    async def is_ready() -> Response:
        """Whether the server can answer: database, live space, model."""
        if await readiness.is_ready():
            return PlainTextResponse("ok\n")
        return PlainTextResponse("not ready\n", 503)

    return router
