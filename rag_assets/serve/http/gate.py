"""What every request passes before its route: who asks, how large it is, its turn, its time, and its client's presence.

A plain ASGI application: middleware classes of frameworks cost more than a short search.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from rag_assets.errors import RagAssetsError
from rag_assets.serve.access.authentication import Authenticator
from rag_assets.serve.http.admission import Admission
from rag_assets.serve.http.responses import problem, problem_of
from rag_assets.settings.settings import Settings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

# Whose answers say nothing about what is stored.
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/", "/page.css", "/page.js", "/openapi.json"})
# Longest time to send a body. A client that is slower holds a connection, but no place among the running requests.
BODY_S = 10.0


@dataclass(frozen=True, slots=True)
class GateLimits:
    body_bytes: int
    timeout_s: float
    max_k: int
    max_queries: int

    @classmethod
    def of(cls, settings: Settings) -> "GateLimits":
        return cls(
            settings.serve_body_kb * 1024, settings.serve_timeout_s, settings.serve_max_k, settings.serve_max_queries
        )


class Gate:
    """`streams`: the applications, by path, that read bodies themselves and answer as long as their clients listen.

    `local`: whether only browsers of this machine are meant, so that a page of another host must not reach it by a name
    that leads here. `on_answer` is told the scope and the status of each answer.
    """

    def __init__(
        self,
        app: App,
        authenticator: Authenticator,
        admission: Admission,
        limits: GateLimits,
        streams: Mapping[str, App] | None = None,
        *,
        local: bool = False,
        on_answer: Callable[[Any, int], None] | None = None,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._admission = admission
        self._limits = limits
        self._streams = streams or {}
        self._local = local
        self._on_answer = on_answer

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if self._local and not _is_local(headers.get(b"host", b"")):
            detail = "only this machine may ask this server, by 127.0.0.1 or localhost; use that name."
            await problem(421, detail)(scope, receive, send)
            return
        if scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        try:
            principal = await self._authenticator.authenticate(headers.get(b"authorization"))
        except RagAssetsError as error:
            await problem_of(error)(scope, receive, send)
            return
        scope["principal"] = principal
        stream = self._streams.get(scope["path"])
        if stream is not None:
            await stream(scope, receive, send)
            return
        body = await self._read_body(headers, receive)
        if body is None:
            return
        if isinstance(body, Response):
            await body(scope, receive, send)
            return
        await self._run(scope, receive, send, body, principal.id)

    async def _read_body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes | Response | None:
        """The body; a problem where it is too large or too slow; None where the client is gone."""
        limit = self._limits.body_bytes
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > limit:
            return self._too_large()
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_S):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > limit:
                        return self._too_large()
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError:
            return problem(408, f"the body did not come within {BODY_S:g} s; send it faster.")

    def _too_large(self) -> Response:
        # The server closes the connection of a client that sends on after this answer.
        return problem(413, f"the body is larger than {self._limits.body_bytes // 1024:,} KB; send less at a time.")

    async def _run(self, scope: Any, receive: Receive, send: Send, body: bytes, caller: str) -> None:
        """Run the application; cancel it, and with it its statement, when its client is gone or its time is over."""
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        gone: asyncio.Future[None] = loop.create_future()
        started = is_done = False
        unread: Message | None = {"type": "http.request", "body": body, "more_body": False}

        async def read() -> Message:
            nonlocal unread
            if unread is not None:
                message, unread = unread, None
                return message
            await gone
            return {"type": "http.disconnect"}

        async def write(message: Message) -> None:
            nonlocal started
            if not started and self._on_answer is not None:
                self._on_answer(scope, message["status"])
            started = True
            await send(message)

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            if not is_done:
                gone.set_result(None)
                task.cancel()

        watcher = loop.create_task(watch())
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                await self._admission.enter(caller)
                try:
                    await self._app(scope, read, write)
                finally:
                    self._admission.leave(caller)
        except asyncio.CancelledError:
            task.uncancel()
            # Unless its client is gone, the server has waited for it as long as it may.
            if not gone.done() and not started:
                await problem(503, "the server is stopping; send the request again.")(scope, read, write)
        except TimeoutError:
            if not started:
                detail = f"the request took longer than {self._limits.timeout_s:g} s; ask for less, or again later."
                await problem(504, detail)(scope, read, write)
        except RagAssetsError as error:
            if not started:
                await problem_of(error)(scope, read, write)
        finally:
            is_done = True
            watcher.cancel()


def _is_local(host: bytes) -> bool:
    name = host.rpartition(b":")[0] if host.rpartition(b":")[2].isdigit() else host
    return name in (b"127.0.0.1", b"localhost", b"[::1]")
