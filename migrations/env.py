"""Alembic's environment: the schema `rag` with its own version table, without tables created at run time."""

from functools import cache
from typing import Any

from alembic import context
from sqlalchemy import Connection, Engine, text

from rag_assets.db.database import new_engine
from rag_assets.db.models import OWN_TABLES, SCHEMA, Base
from rag_assets.db.schema.extension import ensure_pgvector
from rag_assets.db.spaces.partitions import is_runtime_object
from rag_assets.db.spaces.registered_tables import load_table, registered_kinds
from rag_assets.settings.settings import load_settings

# Serializes upgrades, for example by two processes that start on a new database.
MIGRATION_LOCK = "SELECT pg_advisory_xact_lock(hashtext('rag_assets.migrations'))"


def include_object(obj: Any, name: str | None, type_: str, reflected: bool, compare_to: Any) -> bool:
    table = name if type_ == "table" else getattr(getattr(obj, "table", None), "name", None)
    if reflected and compare_to is None and is_runtime_object(table):
        return False
    # Tables of other packages are created by those, whether they are in our metadata or only in the database.
    own = f"{SCHEMA}.{table}" in OWN_TABLES
    return own or (reflected and f"{SCHEMA}.{table}" not in _registered_tables())


@cache
def _registered_tables() -> set[str]:
    return {load_table(kind).__table__.fullname for kind in registered_kinds()}


def include_name(name: str | None, type_: str, _parents: Any) -> bool:
    return type_ != "schema" or name == SCHEMA


def configure(**more: Any) -> None:
    context.configure(
        target_metadata=Base.metadata,
        version_table_schema=SCHEMA,
        include_schemas=True,
        include_name=include_name,
        include_object=include_object,
        compare_type=True,
        compare_server_default=True,
        **more,
    )


def run(connection: Connection) -> None:
    with connection.begin():
        connection.execute(text(MIGRATION_LOCK))
        # With IF NOT EXISTS too, PostgreSQL asks for the privilege to create a schema that exists.
        if connection.scalar(text("SELECT to_regnamespace('rag')")) is None:
            connection.execute(text("CREATE SCHEMA rag"))
        ensure_pgvector(connection)
        configure(connection=connection)
        context.run_migrations()


def run_online() -> None:
    given = context.config.attributes.get("connection")
    if isinstance(given, Connection):
        run(given)
        return
    engine = given if isinstance(given, Engine) else new_engine(load_settings(), "direct")
    with engine.connect() as connection:
        run(connection)


if context.is_offline_mode():
    configure(url="postgresql+psycopg://", literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    run_online()
