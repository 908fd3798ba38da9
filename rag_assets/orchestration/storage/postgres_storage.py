"""Dagster's history in the database of RAG_ASSETS_DAGSTER_DATABASE."""

from typing import Any

from rag_assets.orchestration.storage.dagster_database import (
    create_missing_database,
    creation_lock,
    dagster_database_url,
    driver_address,
)
from rag_assets.orchestration.storage.dagster_postgres import PooledPostgresStorage
from rag_assets.settings.settings import load_settings


class PostgresHistory(PooledPostgresStorage):
    """The storage that dagster.yaml names under `storage: custom:`; the setting has the address.

    So no file and no run has the password.
    """

    def __init__(self, inst_data: Any = None) -> None:
        settings = load_settings()
        create_missing_database(settings)
        with creation_lock(settings):
            # SQLAlchemy 2.1 takes postgresql:// for psycopg 3, with which Dagster's NOTIFY fails.
            super().__init__(driver_address(dagster_database_url(settings), "psycopg2"), inst_data)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "PostgresHistory":  # noqa: ARG003
        return cls(inst_data)
