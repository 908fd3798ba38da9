"""Settings of an installation on several machines, and the files that are shipped for it."""

import pytest
import yaml
from pydantic import SecretStr

from rag_assets.cli.runtime import installation
from rag_assets.db.reports.health import check_disk
from rag_assets.errors import UsageError
from rag_assets.orchestration.storage.dagster_database import dagster_database_url, driver_address
from rag_assets.orchestration.workers.broker import broker_address, celery_config
from rag_assets.settings.settings import Settings

SERVER = SecretStr("postgresql://ada:s%40crt@db.example.com:6432/rag?pgbouncer=true")
DIRECT = SecretStr("postgresql://ada:s%40crt@db.example.com/rag")


def settings(**values: object) -> Settings:
    return Settings(**{"database_url": SERVER, "direct_database_url": DIRECT, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("dagster", "postgresql+psycopg2://ada:s%40crt@db.example.com/dagster"),
        ("postgres://b:c@other:1/d", "postgresql+psycopg2://b:c@other:1/d"),
    ],
)
def test_the_database_of_dagster_is_a_name_or_an_address(value: str, expected: str) -> None:
    url = dagster_database_url(settings(dagster_database=value))
    assert driver_address(url, "psycopg2") == expected


def test_tls_of_the_settings_holds_for_dagster_too() -> None:
    url = dagster_database_url(settings(dagster_database="dagster", ssl_mode="verify-full", ssl_root_cert="system"))
    assert dict(url.query) == {"sslmode": "verify-full", "sslrootcert": "system"}


@pytest.mark.parametrize("value", ["a b", "x;drop", "mysql://secret-word/b", "postgresql://secret-word@h:99999/d"])
def test_other_values_are_refused_without_showing_them(value: str) -> None:
    with pytest.raises(UsageError, match="RAG_ASSETS_DAGSTER_DATABASE") as refused:
        dagster_database_url(settings(dagster_database=value))
    assert "secret-word" not in str(refused.value)


@pytest.mark.parametrize(
    ("broker", "options"),
    [
        (None, "pool_pre_ping"),
        ("redis://h:6379/0", "visibility_timeout"),
        ("rediss://h:6379/0", "visibility_timeout"),
        ("amqp://a:b@h:5672//", None),
    ],
)
def test_any_broker_has_late_acknowledgement(broker: str | None, options: str | None) -> None:
    found = settings(dagster_database="dagster", broker_url=broker)
    assert broker_address(found) == (broker or "sqla+postgresql+psycopg://ada:s%40crt@db.example.com/dagster")
    config = celery_config(found)
    assert config["task_acks_late"]
    assert config["task_reject_on_worker_lost"]
    assert config["worker_prefetch_multiplier"] == 1
    assert [name for name in config["broker_transport_options"] if name == options] == [options][: options is not None]


def test_a_broker_that_is_no_address_is_refused() -> None:
    with pytest.raises(UsageError, match="RAG_ASSETS_BROKER_URL is not an address"):
        broker_address(settings(dagster_database="dagster", broker_url="localhost"))


@pytest.mark.parametrize(
    ("values", "size"),
    [({}, None), ({"workers": True}, 1), ({"workers": True, "projects_per_run": 20}, 20), ({"projects_per_run": 3}, 3)],
)
def test_workers_share_the_projects(values: dict[str, object], size: int | None) -> None:
    assert settings(**values).run_size == size


def test_the_disk_is_looked_at_only_where_something_is_kept_there() -> None:
    assert settings(dagster_database="dagster").kept_folder is None
    assert check_disk(None).healthy
    assert settings().kept_folder == settings().state_dir


def test_workers_need_a_history_that_all_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_ASSETS_WORKERS", "true")
    with pytest.raises(UsageError, match="set RAG_ASSETS_DAGSTER_DATABASE"):
        installation.enter()


def test_the_shipped_files_differ_only_where_the_cases_do() -> None:
    one, postgres, workers = (
        yaml.safe_load((installation.HOMES / home / "dagster.yaml").read_text())
        for home in ("one_machine", "postgres", "workers")
    )
    assert {name for name in one | postgres if one.get(name) != postgres.get(name)} == {"storage", "compute_logs"}
    differing = {name for name in postgres | workers if postgres.get(name) != workers.get(name)}
    assert differing == {"concurrency", "run_launcher", "run_monitoring", "run_retries"}
    assert "password" not in str(workers).lower()
