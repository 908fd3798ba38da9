"""Advisory locks: how long a second run waits, whom the error names, and how a lock ends."""

import signal
import subprocess
import sys
import threading
import time

import pytest
from sqlalchemy import URL, Engine, text

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.locks import hold_lock, others_hold_locks
from rag_assets.errors import ServiceError

HOLD = (
    "import sys, time\n"
    "from sqlalchemy import make_url\n"
    "from rag_assets.db.connections.engines import make_engine\n"
    "from rag_assets.db.locks import hold_lock\n"
    "engine = make_engine(make_url(sys.argv[1]), application_name='the other run')\n"
    "with hold_lock(engine, 'chunks of zoo', wait_s=5):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(600)\n"
)


def test_a_lock_that_is_taken_is_an_error_that_names_the_holder(engine: Engine, database: URL) -> None:
    other = make_engine(database, application_name="run 42")
    with hold_lock(other, "chunks of zoo", wait_s=1):
        started = time.monotonic()
        with pytest.raises(ServiceError) as raised, hold_lock(engine, "chunks of zoo", wait_s=0.3):
            pytest.fail("two hold one lock")
        waited_s = time.monotonic() - started
    message = str(raised.value)
    assert message.startswith("chunks of zoo has been locked by run 42 (backend ")
    assert "for more than 0.3 s" in message
    assert "then run again" in message
    assert 0.3 <= waited_s < 5
    other.dispose()


def test_a_lock_on_another_name_or_in_another_database_is_free(engine: Engine, admin: Engine) -> None:
    with (
        hold_lock(engine, "chunks of zoo", wait_s=0),
        hold_lock(engine, "chunks of sea", wait_s=0),
        hold_lock(admin, "chunks of zoo", wait_s=0),
    ):
        pass


def test_the_holder_of_the_same_lock_in_another_database_is_not_named(engine: Engine, admin: Engine) -> None:
    with (
        hold_lock(admin, "a", wait_s=0),
        hold_lock(engine, "a", wait_s=0),
        pytest.raises(ServiceError) as raised,
        hold_lock(engine, "a", wait_s=0.1),
    ):
        pass
    assert str(raised.value).count("backend") == 1


def test_the_second_gets_the_lock_when_the_first_releases_it(engine: Engine) -> None:
    order: list[str] = []

    def second() -> None:
        with hold_lock(engine, "chunks of zoo", wait_s=20):
            order.append("second")

    with hold_lock(engine, "chunks of zoo", wait_s=1):
        waiter = threading.Thread(target=second)
        waiter.start()
        time.sleep(0.3)
        order.append("first")
    waiter.join(timeout=20)
    assert order == ["first", "second"]


def test_a_lock_is_released_when_its_holder_fails(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), hold_lock(engine, "chunks of zoo", wait_s=0):
        raise ZeroDivisionError
    with hold_lock(engine, "chunks of zoo", wait_s=0):
        pass


def test_sharers_hold_a_lock_together_but_not_beside_an_exclusive_holder(engine: Engine) -> None:
    with (
        hold_lock(engine, "v", wait_s=0, shared=True),
        hold_lock(engine, "v", wait_s=0, shared=True),
        pytest.raises(ServiceError, match="v has been locked by"),
        hold_lock(engine, "v", wait_s=0),
    ):
        pass
    with (
        hold_lock(engine, "v", wait_s=0),
        pytest.raises(ServiceError),
        hold_lock(engine, "v", wait_s=0, shared=True),
    ):
        pass


def test_a_killed_holder_frees_its_lock_at_once(engine: Engine, database: URL) -> None:
    url = database.render_as_string(hide_password=False)
    holder = subprocess.Popen([sys.executable, "-c", HOLD, url], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ServiceError, match="the other run"), hold_lock(engine, "chunks of zoo", wait_s=0.1):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    with hold_lock(engine, "chunks of zoo", wait_s=5):
        pass


def test_waiting_leaves_no_timeout_on_pooled_connections(engine: Engine) -> None:
    with (
        hold_lock(engine, "v", wait_s=0),
        pytest.raises(ServiceError),
        hold_lock(engine, "v", wait_s=0.05),
    ):
        pass
    opened = [engine.connect() for _ in range(5)]
    assert {connection.scalar(text("SHOW lock_timeout")) for connection in opened} == {"0"}
    for connection in opened:
        connection.close()


def test_no_transaction_is_open_while_a_lock_is_held(engine: Engine, admin: Engine) -> None:
    with hold_lock(engine, "v", wait_s=0), admin.connect() as connection:
        states = connection.scalars(
            text("SELECT state FROM pg_stat_activity WHERE datname = :name"), {"name": engine.url.database}
        ).all()
    assert states == ["idle"]


def test_locks_of_other_applications_are_not_taken_for_ours(engine: Engine, database: URL) -> None:
    foreign = make_engine(database, application_name="another application")
    earlier = make_engine(database, application_name="rag_assets direct")
    ours = "SELECT pg_advisory_lock(hashtextextended('rag_assets.chunks of zoo', 0))"

    def is_ours() -> bool:
        # The activity of sessions is read once in a transaction.
        with engine.connect() as connection:
            return others_hold_locks(connection)

    with foreign.connect() as other:
        other.execute(text("SELECT pg_advisory_lock(42), pg_advisory_lock(1, 2), pg_advisory_lock_shared(3)"))
        assert not is_ours()
        with hold_lock(foreign, "chunks of zoo", wait_s=1):
            assert is_ours()
        assert not is_ours()
        other.invalidate()
    # Version 0.2.0 takes the first of the two locks alone.
    with earlier.connect() as other:
        other.execute(text(ours))
        assert is_ours()
        with pytest.raises(ServiceError, match="rag_assets direct"), hold_lock(engine, "chunks of zoo", wait_s=0):
            pass
        other.invalidate()
    for used in (foreign, earlier):
        used.dispose()
