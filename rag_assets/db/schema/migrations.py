"""The schema's revision, through Alembic: upgrade, downgrade, current, check."""

import io
from pathlib import Path

from psycopg.errors import DeadlockDetected
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from rag_assets.db.connections.engines import direct_engine
from rag_assets.errors import UsageError

# So often does a command that the server ended for another's sake begin anew.
DEADLOCKS = 5


def migrations_dir() -> Path:
    """Beside the package in a checkout, inside it in an installed wheel."""
    package = Path(__file__).parents[2]
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def head_revision() -> str:
    """The newest revision, by file name (0003_spaces.py is 0003): known without importing Alembic."""
    return max(path.name.split("_")[0] for path in (migrations_dir() / "versions").glob("[0-9]*_*.py"))


def current_revision(engine: Engine) -> str | None:
    """The revision that the database is at, None for one that was never brought up."""
    with engine.connect() as connection:
        return revision_in(connection)


def revision_in(connection: Connection) -> str | None:
    if connection.scalar(text("SELECT to_regclass('rag.alembic_version')")) is None:
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM rag.alembic_version"))
    return revision


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema up; costs one query where it already is at the head."""
    if revision == "head" and current_revision(engine) == head_revision():
        return
    _run(engine, "upgrade", revision)


def downgrade(engine: Engine, revision: str) -> None:
    _run(engine, "downgrade", revision)


def check(engine: Engine) -> str:
    """Alembic's comparison of models and database; raises UsageError with the differences."""
    return _run(engine, "check")


def _run(engine: Engine, command: str, *arguments: str) -> str:
    from alembic import command as commands
    from alembic.config import Config
    from alembic.util import CommandError

    output = io.StringIO()
    config = Config(stdout=output, output_buffer=output)
    config.set_main_option("script_location", str(migrations_dir()).replace("%", "%%"))
    # Migrations are transactions, also where a reader comes first, whose connections have none.
    direct = direct_engine(engine, f"alembic {command}").execution_options(isolation_level="READ COMMITTED")
    config.attributes["connection"] = direct
    for attempt in range(1, DEADLOCKS + 1):
        try:
            getattr(commands, command)(config, *arguments)
        except CommandError as error:
            raise UsageError(f"alembic {command}: {error}") from error
        except OperationalError as error:
            # An index that is built meanwhile waits for this transaction, which waits for it: the server ends one of
            # the two. What was migrated is committed, the rest is as it was.
            if attempt == DEADLOCKS or not isinstance(error.orig, DeadlockDetected):
                raise
        else:
            break
    return output.getvalue()
