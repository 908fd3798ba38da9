"""Searches on a real streaming standby: how old their answers may be, and when the primary answers instead."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from rag_assets import AsyncClient, Client
from rag_assets.db.connections.engines import make_engine
from rag_assets.db.connections.urls import DRIVER
from rag_assets.db.database import dispose_engines, shared_engine
from rag_assets.db.schema.migrations import head_revision
from rag_assets.db.server.server import EmbeddedServer
from rag_assets.settings.settings import Settings, load_settings
from rag_assets.testing import HashEncoder
from tests.support.database.standby import Standby, streaming_standby
from tests.support.pipeline.stages import Steps, write


@pytest.fixture(scope="module")
def replicated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Standby]]:
    """An installation with a project that is served, and a standby of its database."""
    folder = tmp_path_factory.mktemp("replicated")
    primary = EmbeddedServer.at(folder / "state")
    try:
        settings = load_settings().model_copy(update={"database_url": None, "state_dir": folder / "state"})
        steps = Steps(shared_engine(settings), settings)
        write(folder / "docs" / "a.md", "# Animals\n\nThe cow eats grass.\n")
        steps.project("zoo", folder / "docs")
        steps.all("zoo")
        steps.live()
        with streaming_standby(primary) as standby:
            yield with_replica(settings, standby.url), standby
    finally:
        dispose_engines()
        primary.stop()


def with_replica(settings: Settings, url: str, staleness_s: float = 10) -> Settings:
    values = settings.model_dump() | {"replica_url": url, "replica_staleness_s": staleness_s}
    return Settings(**values)


def ask(client: Client) -> float | None:
    answer = client.search("cow grass")
    assert [hit.file_path for hit in answer.hits] == ["a.md"]
    return answer.staleness_s


def wait_until(condition: Callable[[], bool], wait_s: float = 20) -> None:
    end = time.monotonic() + wait_s
    while not condition():
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.1)


def replica_check(client: Client) -> tuple[bool, str]:
    return next((check.healthy, check.detail) for check in client.health() if check.name == "replica")


def test_the_replica_answers_while_it_is_fresh_and_the_primary_otherwise(
    replicated: tuple[Settings, Standby], tmp_path: Path
) -> None:
    settings, standby = replicated
    primary = shared_engine(settings)
    replica = make_engine(make_url(standby.url).set(drivername=DRIVER))
    with Client(settings, encoder=HashEncoder()) as client:
        assert ask(client) is None, "nobody waits for the first check"
        wait_until(lambda: ask(client) is not None)
        assert 0 <= (ask(client) or 0) <= 10
        assert [one.staleness_s is not None for one in client.search_many(iter(["cow", "grass"]))] == [True, True]
        assert replica_check(client)[0]

        # Down in the middle of searches: no search fails.
        standby.stop()
        assert [ask(client) for _ in range(3)] == [None] * 3
        assert "does not answer" in replica_check(client)[1]
        standby.start()
        wait_until(lambda: ask(client) is not None)

    # Too late: replay is paused while the primary writes.
    with Client(with_replica(settings, standby.url, 0.4), encoder=HashEncoder()) as client:
        wait_until(lambda: ask(client) is not None)
        with replica.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("SELECT pg_wal_replay_pause()"))
            with primary.begin() as writer:
                writer.execute(text("UPDATE rag.projects SET description = 'late'"))
            wait_until(lambda: ask(client) is None)
            time.sleep(0.5)
            assert ask(client) is None
            assert "s behind, more than 0.4 s" in replica_check(client)[1]
            connection.execute(text("SELECT pg_wal_replay_resume()"))
        wait_until(lambda: ask(client) is not None)

        # Behind a migration, as while an upgrade is replayed.
        change = text("UPDATE rag.alembic_version SET version_num = :revision")
        with primary.begin() as writer:
            writer.execute(change, {"revision": "0001"})
        wait_until(lambda: "at revision 0001" in replica_check(client)[1])
        wait_until(lambda: ask(client) is None)
        with primary.begin() as writer:
            writer.execute(change, {"revision": head_revision()})
    replica.dispose()

    # The database's own address is no standby.
    url = primary.url.render_as_string(hide_password=False)
    with Client(with_replica(settings, url), encoder=HashEncoder()) as client:
        assert "no standby" in replica_check(client)[1]


def test_an_event_loop_asks_the_replica_too(replicated: tuple[Settings, Standby]) -> None:
    settings, _ = replicated

    async def run() -> None:
        async with AsyncClient(settings, encoder=HashEncoder()) as client:
            for _ in range(100):
                answer = await client.search("cow grass")
                assert len(answer.hits) == 1
                if answer.staleness_s is not None:
                    return
                await asyncio.sleep(0.1)
            raise AssertionError("the replica never answered")

    asyncio.run(run())
