"""Dagster's history in PostgreSQL: one setting, the shipped dagster.yaml of each case, leases and pools."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import dagster as dg
import pytest
from dagster import reconstructable
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import pack_value
from sqlalchemy import URL, Engine, text

from rag_assets.cli.runtime import installation
from rag_assets.cli.runtime.pool_wait import limit_pool_wait
from rag_assets.errors import BusyError, ServiceError, UsageError
from rag_assets.orchestration.storage.dagster_database import create_missing_database
from rag_assets.orchestration.storage.dagster_postgres import WaitingPostgresEventLog
from rag_assets.orchestration.workers import launcher
from rag_assets.orchestration.workers.broker import create_missing_queues
from rag_assets.orchestration.workers.dagster_launcher import WorkerStatus
from rag_assets.orchestration.workers.leases import Lease, is_leased, lease_engine
from rag_assets.orchestration.workers.worker import limit_pool, run_of_task
from rag_assets.settings.settings import Settings, load_settings


@dg.job
def empty() -> None: ...


@pytest.fixture
def history(settings: Settings, database: URL, admin: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An installation without a state folder whose history is in another database, which is not there yet."""
    name = f"{database.database}_history"
    monkeypatch.setenv("RAG_ASSETS_DAGSTER_DATABASE", name)
    monkeypatch.setenv("RAG_ASSETS_STATE_DIR", "/proc/none")
    monkeypatch.delenv("DAGSTER_HOME")
    yield name
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


def test_the_history_waits_for_pools_and_tells_runs_of_dead_workers(
    history: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One database for all of it: creating Dagster's tables takes most of the time."""
    monkeypatch.setenv("RAG_ASSETS_WORKERS", "true")
    monkeypatch.setattr(launcher, "LEASE_GRACE_S", 0.0)
    installation.enter()
    with dg.DagsterInstance.get() as instance:
        storage = instance.event_log_storage
        assert isinstance(storage, WaitingPostgresEventLog)
        assert storage.get_maximum_record_id() == -1
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled

        limit_pool(instance, "index_build", 1)
        storage.set_concurrency_slots("embedder", 3)
        limit_pool(instance, "embedder", 1)
        limits = {pool.name: pool.limit for pool in storage.get_pool_limits()}
        assert limits == {"index_build": 1, "embedder": 3}
        first, second = (instance.create_run_for_job(empty, status=dg.DagsterRunStatus.STARTED) for _ in range(2))
        assert storage.claim_concurrency_slot("index_build", first.run_id, "step").is_claimed
        with limit_pool_wait(instance, second.run_id, wait_s=0), pytest.raises(BusyError, match=first.run_id):
            storage.claim_concurrency_slot("index_build", second.run_id, "step")

        seen = threading.Event()
        storage.watch(first.run_id, None, lambda *_: seen.set())
        instance.report_engine_event("an event", first)
        assert seen.wait(10)
        storage.end_watch(first.run_id, lambda *_: None)

        # Workers that start together create the broker's tables and queues.
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(create_missing_queues, [load_settings()] * 4))

        packed = pack_value(
            ExecuteRunArgs(job_origin=reconstructable(empty).get_python_origin(), run_id="r", instance_ref=None)
        )
        assert run_of_task({"execute_job_args_packed": packed}) == "r"

        runs = instance.run_launcher
        assert isinstance(runs, launcher.WorkerRunLauncher)
        lease = Lease(load_settings(), first.run_id)
        lease.start()
        assert runs.check_run_worker_health(first).status == WorkerStatus.RUNNING
        assert runs.check_run_worker_health(second).status == WorkerStatus.FAILED
        assert runs.terminate(second.run_id)
        terminated = instance.get_run_by_id(second.run_id)
        assert terminated is not None
        assert terminated.status == dg.DagsterRunStatus.CANCELING
        lease.end()
        engine = lease_engine(load_settings())
        assert not is_leased(engine, first.run_id)
        engine.dispose()


def test_commands_open_the_history_of_the_setting(history: str) -> None:
    settings = installation.enter()
    assert isinstance(installation.instance().event_log_storage, WaitingPostgresEventLog)
    installation.instance().dispose()
    # A second process finds the database there.
    create_missing_database(settings)


def test_another_storage_in_dagster_yaml_is_refused(
    history: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(settings.state_dir / "dagster_home"))
    installation.enter()
    with pytest.raises(UsageError, match="names another storage"):
        installation.instance()


def test_a_role_that_may_not_create_the_database_is_told_how(
    history: str, database: URL, admin: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"{database.database}_role"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD 'x'"))
    try:
        poor = database.set(username=role, password="x", drivername="postgresql")
        monkeypatch.setenv("RAG_ASSETS_DATABASE_URL", poor.render_as_string(hide_password=False))
        with pytest.raises(UsageError, match=f"create it: CREATE DATABASE {history} OWNER {role}"):
            create_missing_database(load_settings())
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP ROLE {role}"))


def test_without_a_writable_folder_only_the_history_in_files_fails(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_ASSETS_STATE_DIR", "/proc/none")
    monkeypatch.delenv("DAGSTER_HOME")
    installation.enter()
    with pytest.raises(ServiceError, match="RAG_ASSETS_DAGSTER_DATABASE"):
        installation.instance()
