"""python -m tests.benchmarks.pool [--clients 200] [--seconds 60] [--pool 20] [--restart]: many clients, small pools.

Half of the clients append to conversations (two clients per conversation), half search by vector. Readers and writers
have a pool of --pool connections each. A client pauses --think-ms on average between calls, like a user who reads the
answer; 0 shows the maximum throughput. Everything runs in one asyncio process against its own embedded server with
--vectors synthetic vectors. Another connection counts the server's connections. --restart restarts the server in the
middle.

Prints one JSON object. `errors` are calls that raised (`errors_clear`: with an exception of the package), `lost` are
acknowledged messages that are not stored, `duplicates` are messages or versions that are stored twice, `gaps` are
missing versions. Latencies are of whole calls, including the wait for a connection.
"""

import argparse
import asyncio
import json
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import URL, make_url, text

from rag_assets.db.connections.engines import DRIVER, make_async_engine, make_engine
from rag_assets.db.connections.options import EngineOptions
from rag_assets.db.connections.pool import open_connections_async, pool_statistics
from rag_assets.db.database import close_async_engine
from rag_assets.db.schema import migrations
from rag_assets.db.server.server import EmbeddedServer
from rag_assets.errors import RagAssetsError
from rag_assets.repositories import Conversations, NewMessage
from rag_assets.search.async_retriever import AsyncRetriever
from tests.benchmarks import synthetic
from tests.benchmarks.clustered import Corpus

APPLICATION_NAME = "rag_assets benchmark"
SAMPLE_S = 0.02


@dataclass
class Tally:
    """The times and errors of one kind of call."""

    times_ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    clear: int = 0

    def percentile(self, share: float) -> float:
        ordered = sorted(self.times_ms) or [0.0]
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pool", type=int, default=20, help="connections of each of the two pools")
    parser.add_argument("--vectors", type=int, default=10_000)
    parser.add_argument("--think-ms", type=float, default=500)
    parser.add_argument("--restart", action="store_true", help="restart the server in the middle")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rag-pool-") as folder:
        server = EmbeddedServer.at(Path(folder))
        try:
            url = make_url(server.ensure_running()).set(drivername=DRIVER)
            conversations = prepare(url, arguments.vectors, arguments.clients // 4)
            print(json.dumps(asyncio.run(measure(server, url, conversations, arguments))))
        finally:
            server.stop()


def prepare(url: URL, vectors: int, conversations: int) -> list[UUID]:
    engine = make_engine(url)
    migrations.upgrade(engine)
    synthetic.fill(engine, vectors)
    with engine.begin() as connection:
        made = connection.scalars(
            text(
                "INSERT INTO rag.conversations (id, name) SELECT gen_random_uuid(), 'talk ' || n "
                "FROM generate_series(1, :n) n RETURNING id"
            ),
            {"n": max(1, conversations)},
        ).all()
    engine.dispose()
    return list(made)


async def measure(
    server: EmbeddedServer, url: URL, conversations: Sequence[UUID], arguments: argparse.Namespace
) -> dict[str, Any]:
    options = EngineOptions(application_name=APPLICATION_NAME, pool_size=arguments.pool, statement_timeout_s=60)
    writer = make_async_engine(url, options=options)
    reader = make_async_engine(url, options=replace(options, pre_ping=False))
    for engine in (reader, writer):
        await open_connections_async(engine, arguments.pool)
    vectors = Corpus(arguments.vectors, per_document=synthetic.PER_DOCUMENT).questions(500).vectors
    retriever = AsyncRetriever(reader)
    repository = Conversations(writer)
    searches, appends = Tally(), Tally()
    acknowledged: list[tuple[UUID, int, str]] = []

    async def search(client: int, number: int) -> None:
        answer = await retriever.search(vectors[(client * 37 + number) % len(vectors)], k=10)
        assert len(answer.hits) == 10, f"{len(answer.hits)} hits"

    async def append(client: int, number: int) -> None:
        conversation, content = conversations[client % len(conversations)], f"client {client} says {number}"
        message = await repository.append(conversation, NewMessage("user", content))
        acknowledged.append((conversation, message.version, content))

    half = arguments.clients // 2
    end = time.perf_counter() + arguments.seconds
    think_s = arguments.think_ms / 1000
    cpu_s = time.process_time()
    with count_connections(url) as peak:
        clients = [run_client(search, n, searches, end, think_s) for n in range(half)]
        clients += [run_client(append, n, appends, end, think_s) for n in range(arguments.clients - half)]
        if arguments.restart:
            clients.append(restart(server, arguments.seconds / 2))
        await asyncio.gather(*clients)
    cpu_s = time.process_time() - cpu_s
    statistics = {name: asdict(pool_statistics(engine)) for name, engine in (("read", reader), ("write", writer))}
    for engine in (reader, writer):
        await close_async_engine(engine)
    return {
        "clients": arguments.clients,
        "seconds": arguments.seconds,
        "think_ms": arguments.think_ms,
        "restarted": arguments.restart,
        "client_cpu_share": round(cpu_s / arguments.seconds, 2),
        "searches": len(searches.times_ms),
        "appends": len(appends.times_ms),
        "errors": sum(searches.errors.values()) + sum(appends.errors.values()),
        "errors_clear": searches.clear + appends.clear,
        "messages_of_errors": dict((searches.errors + appends.errors).most_common(5)),
        **compare_with_stored(url, acknowledged),
        **{
            f"{name}_p{share}_ms": tally.percentile(share / 100)
            for name, tally in (("search", searches), ("append", appends))
            for share in (50, 95, 99, 100)
        },
        "peak_connections": max(peak, default=0),
        "pool_maximum": sum(one["maximum"] for one in statistics.values()),
        "pools": statistics,
    }


async def run_client(
    call: Callable[[int, int], Awaitable[None]], number: int, tally: Tally, end: float, think_s: float
) -> None:
    """Call until `end`, with random pauses that depend only on the client's number."""
    rhythm = random.Random(number)
    await asyncio.sleep(rhythm.uniform(0, think_s))
    done = 0
    while (started := time.perf_counter()) < end:
        try:
            await call(number, done)
        except Exception as error:
            tally.errors[f"{type(error).__name__}: {error}"[:200]] += 1
            tally.clear += isinstance(error, RagAssetsError)
        else:
            tally.times_ms.append((time.perf_counter() - started) * 1000)
        done += 1
        if think_s:
            await asyncio.sleep(rhythm.uniform(0.5, 1.5) * think_s)


async def restart(server: EmbeddedServer, after_s: float) -> None:
    await asyncio.sleep(after_s)
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.ensure_running)


@contextmanager
def count_connections(url: URL) -> Iterator[list[int]]:
    """Sample the number of client connections of the server from another connection."""
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    found: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE_S):
            try:
                with psycopg.connect(address, autocommit=True, application_name="watcher") as connection:
                    while not done.wait(SAMPLE_S):
                        row = connection.execute(
                            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' "
                            "AND pid <> pg_backend_pid()"
                        ).fetchone()
                        assert row is not None
                        found.append(row[0])
            except psycopg.OperationalError:
                continue

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def compare_with_stored(url: URL, acknowledged: Sequence[tuple[UUID, int, str]]) -> dict[str, int]:
    """Compare the stored messages with the acknowledged ones."""
    engine = make_engine(url)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT conversation_id, version, content FROM rag.conversation_messages")).all()
        conversations = connection.execute(text("SELECT id, latest_version FROM rag.conversations"))
        latest: dict[UUID, int] = {row.id: row.latest_version for row in conversations}
    engine.dispose()
    copies = Counter(tuple(row) for row in rows)
    versions = Counter((row.conversation_id, row.version) for row in rows)
    contents = Counter((row.conversation_id, row.content) for row in rows)
    return {
        "acknowledged": len(acknowledged),
        "stored": len(rows),
        "lost": sum(copies[one] == 0 for one in acknowledged),
        "duplicates": sum(n - 1 for n in versions.values()) + sum(n - 1 for n in contents.values()),
        "gaps": sum(latest.values()) - len(versions),
    }


if __name__ == "__main__":
    main()
