"""Run the server until it is told to stop."""

import asyncio
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import uvicorn

from rag_assets.client import AsyncClient
from rag_assets.errors import UsageError
from rag_assets.serve.access.keys import ApiKeys
from rag_assets.serve.address import ServerAddress
from rag_assets.serve.app import make_app
from rag_assets.settings.settings import Settings

# Open connections, with those that are idle; more are answered 503.
MAX_CONNECTIONS = 2_000
_ANY_HOST = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def listen(host: str, port: int) -> socket.socket:
    """A socket on which clients can already connect; raises UsageError where the address cannot be used."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        # As web servers do: a connection that has just been closed does not block the port.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise UsageError(
            f"{host} port {port} cannot be used ({error.strerror or error}); choose others: "
            "rag-assets serve --host HOST --port PORT."
        ) from error
    return listening


def run_server(settings: Settings, host: str, port: int, *, grace_s: float, say: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM, then give the running requests `grace_s` seconds to end."""
    loop = _new_event_loop()
    asyncio.set_event_loop(loop)
    with listen(host, port) as listening:
        loop.run_until_complete(_serve(settings, host, listening, grace_s, say))
    # Not what asyncio.run does at the end: it would wait for a thread that loads a model.
    loop.close()


async def _serve(
    settings: Settings, host: str, listening: socket.socket, grace_s: float, say: Callable[[str], None]
) -> None:
    client = AsyncClient(settings)
    token = secrets.token_urlsafe(32)
    port = listening.getsockname()[1]
    address = ServerAddress.new(_url("127.0.0.1" if host in _ANY_HOST else host, port), settings, token)
    stopping_at: float | None = None
    try:
        await client.open()
        if not (settings.serve_anonymous or settings.oidc_issuer) and not await client.repository(ApiKeys).has_keys():
            say("no key yet; make one for a caller: rag-assets keys add NAME")
        config = uvicorn.Config(
            make_app(client, owner_token=token, host=host),
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=max(1, round(grace_s)),
        )
        server = _Server(config)

        def on_start() -> None:
            # Without a folder to write to, as in a container, commands do not find this server, and callers do.
            with suppress(OSError):
                address.write(settings.state_dir)
            say(_url(host, port))

        server.on_start = on_start
        await server.serve(sockets=[listening])
        stopping_at = server.stopping_at
    finally:
        address.remove(settings.state_dir)
        used_s = 0.0 if stopping_at is None else time.monotonic() - stopping_at
        await client.close(max(0.0, grace_s - used_s))


class _Server(uvicorn.Server):
    """Ends normally for both signals, instead of raising them again when it has stopped."""

    stopping_at: float | None = None
    on_start: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.on_start()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop, number)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _stop(self, number: int) -> None:
        self.stopping_at = self.stopping_at or time.monotonic()
        self.handle_exit(number, None)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        # It is not made for every platform.
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
