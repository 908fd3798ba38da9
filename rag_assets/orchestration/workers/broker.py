"""Celery's configuration, the same for those who send runs and for workers."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from rag_assets.errors import UsageError
from rag_assets.orchestration.storage.dagster_database import creation_lock, dagster_database_url, driver_address
from rag_assets.settings.settings import Settings

QUEUE = "dagster"
# How long Redis waits before it gives a run that no worker has acknowledged to another one, which Dagster ignores if
# the run has begun: longer than runs take.
REDIS_VISIBILITY_S = 24 * 60 * 60


def broker_address(settings: Settings) -> str:
    """Tables in Dagster's database, unless another broker is set."""
    if settings.broker_url is None:
        return f"sqla+{driver_address(dagster_database_url(settings), 'psycopg')}"
    address = settings.broker_url.get_secret_value()
    if "://" not in address:
        raise UsageError(
            "RAG_ASSETS_BROKER_URL is not an address; write it as redis://host:6379/0 or "
            "amqp://user:password@host:5672//, or unset it to use PostgreSQL."
        )
    return address


def create_missing_queues(settings: Settings, names: Sequence[str] = (QUEUE,)) -> None:
    """Create Celery's tables and queues in PostgreSQL, which fails where several processes do so at a time."""
    if settings.broker_url is not None:
        return
    # It is typed in part.
    kombu: Any = import_module("kombu")
    address = broker_address(settings)
    options = _transport_options(address)
    with creation_lock(settings), kombu.Connection(address, transport_options=options) as connection:
        for name in names:
            kombu.Queue(name, routing_key=f"{name}.#", channel=connection.channel()).declare()


def celery_config(settings: Settings) -> dict[str, Any]:
    """Late acknowledgement: a run that a worker took and did not begin goes to another one.

    Celery stores no results: Dagster's storage says how a run ended.
    """
    return {
        "broker_transport_options": _transport_options(broker_address(settings)),
        "broker_connection_retry_on_startup": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_ignore_result": True,
        "task_track_started": False,
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        # Where a connection to the broker is lost, the run goes on: its lease is elsewhere.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
    }


def _transport_options(address: str) -> dict[str, Any]:
    if address.startswith("sqla+"):
        return {"pool_pre_ping": True, "pool_recycle": 240}
    if address.startswith(("redis://", "rediss://")):
        return {"visibility_timeout": REDIS_VISIBILITY_S}
    return {}
