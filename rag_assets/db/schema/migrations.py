"""The schema's revision, through Alembic: current, upgrade, downgrade, check."""

import io
from pathlib import Path

from psycopg.errors import DeadlockDetected
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from rag_assets.db.access.roles import keep_roles_right
from rag_assets.db.connections.engines import direct_engine
from rag_assets.db.connections.retry import run_repeatable
from rag_assets.db.session.preconditions import read_facts, refuse
from rag_assets.errors import UsageError

# Of a command that the server cancelled to resolve a deadlock.
MAX_ATTEMPTS = 5


def migrations_dir() -> Path:
    """The folder of migrations: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).parents[2]
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def head_revision() -> str:
    """The newest revision, read from the file names (0003_spaces.py is 0003): Alembic is not imported."""
    return max(path.name.split("_")[0] for path in (migrations_dir() / "versions").glob("[0-9]*_*.py"))


def current_revision(engine: Engine) -> str | None:
    """The revision of the database, or None if it has no schema yet.

    Raises RefusedError where the role may not read the schema.
    """
    with engine.connect() as connection:
        refuse(read_facts(connection).obstacles_to_reading())
        return read_revision(connection)


def read_revision(connection: Connection) -> str | None:
    if connection.scalar(text("SELECT to_regclass('rag.alembic_version')")) is None:
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM rag.alembic_version"))
    return revision


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Upgrade the schema; costs two queries if it is at the head already.

    Raises RefusedError, before anything is written, where the database or the role does not allow it. An upgrade whose
    connection breaks is repeated for RAG_ASSETS_RETRY_S: what it had not committed was rolled back.
    """
    with engine.connect() as connection:
        facts = read_facts(connection)
        refuse(facts.obstacles_to_reading())
        if revision == "head" and read_revision(connection) == head_revision():
            return
    refuse(facts.obstacles_to_upgrading())
    if revision.startswith(("+", "-")):
        # Repeated, it would go further.
        _run(engine, "upgrade", revision)
    else:
        run_repeatable(engine, _run, engine, "upgrade", revision)
    if revision == "head":
        with engine.begin() as connection:
            keep_roles_right(connection)
    if facts.extension_schema is None:
        # Open sessions were made without the extension, and may not find it.
        engine.dispose()


def downgrade(engine: Engine, revision: str) -> None:
    with engine.connect() as connection:
        refuse(read_facts(connection).obstacles_to_upgrading())
    _run(engine, "downgrade", revision)


def check(engine: Engine) -> str:
    """Compare models and database through Alembic; raises UsageError with the differences."""
    return _run(engine, "check")


def _run(engine: Engine, command: str, *arguments: str) -> str:
    from alembic import command as commands
    from alembic.config import Config
    from alembic.util import CommandError

    output = io.StringIO()
    config = Config(stdout=output, output_buffer=output)
    config.set_main_option("script_location", str(migrations_dir()).replace("%", "%%"))
    # Migrations need transactions, even if a reader upgrades first: its connections are in autocommit.
    direct = direct_engine(engine, f"alembic {command}").execution_options(isolation_level="READ COMMITTED")
    config.attributes["connection"] = direct
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            getattr(commands, command)(config, *arguments)
        except CommandError as error:
            raise UsageError(f"alembic {command}: {error}") from error
        except OperationalError as error:
            # A concurrent index build waits for this transaction, and this one for its lock: the server cancels one of
            # the two. Finished migrations are committed, the cancelled one was rolled back.
            if attempt == MAX_ATTEMPTS or not isinstance(error.orig, DeadlockDetected):
                raise
        else:
            break
    return output.getvalue()
