"""Find the tables that a migration locks while it reads or writes all their rows, from the statements it sends."""

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Engine, event

_TABLE = r"(?:IF (?:NOT )?EXISTS )?(?:ONLY )?(?:\"?\w+\"?\.)?\"?(?P<table>\w+)\"?"
_CREATED = re.compile(rf"CREATE (?:TEMP(?:ORARY)? |UNLOGGED )?TABLE {_TABLE}", re.IGNORECASE)
_EMPTIED = re.compile(r"TRUNCATE (?:TABLE )?(?P<tables>[\w., ]+)", re.IGNORECASE)
_ALTERED = re.compile(rf"ALTER TABLE {_TABLE}\s+(?P<actions>.*)", re.IGNORECASE | re.DOTALL)
_INDEXED = re.compile(rf"CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY)[^;]*?\sON {_TABLE}", re.IGNORECASE | re.DOTALL)
_REBUILT = re.compile(rf"(?:REINDEX TABLE|VACUUM FULL|CLUSTER|LOCK TABLE|LOCK) (?!CONCURRENTLY){_TABLE}", re.IGNORECASE)
# Actions that read or write the whole table under an exclusive lock.
_SLOW_ACTION = re.compile(
    r"ALTER COLUMN \S+ (?:SET DATA )?TYPE\b|ALTER COLUMN \S+ SET NOT NULL|SET (?:UN)?LOGGED|SET TABLESPACE|"
    r"ADD (?:CONSTRAINT \S+ )?(?:UNIQUE|PRIMARY KEY|EXCLUDE)\b(?! USING INDEX)|"
    r"ADD (?:CONSTRAINT \S+ )?(?:CHECK|FOREIGN KEY)\b(?!.*NOT VALID)|"
    r"ADD (?:COLUMN )?(?!CONSTRAINT)\S+ (?!.*\bDEFAULT\b).*\bNOT NULL\b|"
    r"ADD (?:COLUMN )?.*(?:GENERATED|IDENTITY|SERIAL|DEFAULT (?:gen_random_uuid|random|clock_timestamp|nextval)\b)",
    re.IGNORECASE | re.DOTALL,
)


def locked_tables(statements: Sequence[str]) -> set[str]:
    """The tables that a statement locks while it reads or writes all rows; tables made or emptied here do not count."""
    made: set[str] = set()
    locked: set[str] = set()
    for statement in statements:
        if found := _CREATED.search(statement):
            made.add(found["table"])
        if emptied := _EMPTIED.match(statement.strip()):
            made.update(re.findall(r"(\w+)(?=\s*(?:,|$))", emptied["tables"]))
        slow = _INDEXED.search(statement) or _REBUILT.search(statement)
        altered = _ALTERED.search(statement)
        if altered and any(_SLOW_ACTION.match(action) for action in _actions(altered["actions"])):
            slow = altered
        if slow and slow["table"] not in made:
            locked.add(slow["table"])
    return locked


def list_revisions(migrations: Path) -> list[Script]:
    """All revisions, the oldest first."""
    return list(ScriptDirectory(str(migrations)).walk_revisions())[::-1]


def upgrade_statements(engine: Engine, migrations: Path, revision: Script) -> list[str]:
    """The statements that the upgrade to this revision sends to a database at the revision before."""
    sent: list[str] = []

    def record(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(migrations))
    config.attributes["connection"] = engine
    event.listen(engine, "before_cursor_execute", record)
    try:
        command.upgrade(config, revision.revision)
    finally:
        event.remove(engine, "before_cursor_execute", record)
    return sent


def find_undeclared_locks(engine: Engine, migrations: Path, revision: Script) -> set[str]:
    """Tables that the revision locks without a reason in `LOCKS`, and tables in `LOCKS` that it does not lock."""
    declared: dict[str, str] = getattr(revision.module, "LOCKS", {})
    locked = locked_tables(upgrade_statements(engine, migrations, revision))
    return locked ^ {table for table, why in declared.items() if why}


def _actions(actions: str) -> Iterator[str]:
    """Split the actions of an ALTER TABLE at the commas that are not in parentheses."""
    depth, action = 0, ""
    for letter in actions:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            yield action.strip()
            action = ""
        else:
            action += letter
    yield action.strip()
