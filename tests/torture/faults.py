"""What strikes a command, or its server."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from psycopg import sql

from tests.torture.server import Server
from tests.torture.worker import Running

# With the backend that was aimed at.
Strike = Callable[[Server, Running, int], None]


@dataclass(frozen=True)
class Fault:
    """`survived`: the command goes on by itself, and ends with exit code 0."""

    name: str
    strike: Strike
    survived: bool = True


def _kill(_server: Server, victim: Running, _backend: int) -> None:
    victim.kill()


def _terminate(server: Server, _victim: Running, backend: int) -> None:
    server.execute("postgres", sql.SQL("SELECT pg_terminate_backend({})").format(backend))


def _restart(stop: Callable[[Server], None], away_s: float) -> Strike:
    def strike(server: Server, _victim: Running, _backend: int) -> None:
        stop(server)
        time.sleep(away_s)
        server.start()

    return strike


KILL = Fault("SIGKILL", _kill, survived=False)
SERVER_FAULTS = (
    Fault("backend terminated", _terminate),
    Fault("immediate stop", _restart(Server.stop_immediately, 0)),
    Fault("down 1 s", _restart(Server.stop_fast, 1)),
    # Longer than RAG_ASSETS_RETRY_S.
    Fault("down 20 s", _restart(Server.stop_immediately, 20), survived=False),
)
FAULTS = (KILL, *SERVER_FAULTS)
