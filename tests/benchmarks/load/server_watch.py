"""Samples the server's sessions and the memory of all processes while the load runs."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

SAMPLE_S = 0.05
MEMORY_SAMPLE_S = 2.0
# Statements of searches that run for longer are noted with what they wait for.
SLOW_S = 0.4
_KEPT = 500

_SESSIONS = """
SELECT pid, application_name, state, wait_event_type, wait_event,
  extract(epoch FROM clock_timestamp() - state_change)::float8,
  CASE WHEN wait_event_type = 'Lock' THEN pg_blocking_pids(pid)::text END, left(query, 120)
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND datname = current_database()
"""


@dataclass
class Watched:
    """Maxima and notes. `memory` has (seconds, MB by process of the applications, MB by process of the server)."""

    connections: dict[str, int] = field(default_factory=dict)
    all_connections: int = 0
    idle_in_transaction_s: float = 0.0
    idle_in_transaction: str = ""
    lock_waits: Counter[str] = field(default_factory=Counter)
    slow: list[str] = field(default_factory=list)
    memory: list[tuple[float, dict[int, float], dict[int, float]]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def note(self, sessions: Sequence[Any]) -> None:
        self.all_connections = max(self.all_connections, len(sessions))
        for name, count in Counter(one[1] for one in sessions).items():
            self.connections[name] = max(self.connections.get(name, 0), count)
        queries = {one[0]: f"{one[1]}: {one[7]}" for one in sessions}
        for pid, name, state, kind, event, since_s, blockers, query in sessions:
            if state and state.startswith("idle in transaction") and since_s > self.idle_in_transaction_s:
                self.idle_in_transaction_s = since_s
                self.idle_in_transaction = f"{name} after: {query}"
            if kind == "Lock":
                by = [queries.get(int(one), one) for one in blockers.strip("{}").split(",") if one]
                self.lock_waits[f"{queries[pid][:80]} <- {'; '.join(by)[:200]}"] += 1
            if state == "active" and since_s > SLOW_S and name.endswith("read") and len(self.slow) < _KEPT:
                self.slow.append(f"{time.monotonic():.2f} {pid} {since_s:.2f} s {kind}/{event} {blockers} {query[:90]}")


@contextmanager
def watch_server(conninfo: str, processes: Sequence[int]) -> Iterator[Watched]:
    """Sample until the end of the block; `processes` are those of the applications."""
    watched = Watched()
    done = threading.Event()

    def watch() -> None:
        next_memory = 0.0
        try:
            with psycopg.connect(conninfo, autocommit=True, application_name="watcher") as connection:
                while not done.wait(SAMPLE_S):
                    sessions = connection.execute(_SESSIONS).fetchall()
                    watched.note(sessions)
                    if time.monotonic() >= next_memory:
                        next_memory = time.monotonic() + MEMORY_SAMPLE_S
                        backends = [one[0] for one in sessions if one[1] in ("rag_assets", "rag_assets read")]
                        watched.memory.append((time.monotonic(), _private_mbs(processes), _private_mbs(backends)))
        except psycopg.Error as error:
            watched.errors.append(f"the watcher ended: {error}")

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield watched
    finally:
        done.set()
        thread.join()


def _private_mbs(pids: Sequence[int]) -> dict[int, float]:
    return {pid: mb for pid in pids if (mb := _private_mb(pid))}


def _private_mb(pid: int) -> float:
    """The memory that would be free without this process; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024
