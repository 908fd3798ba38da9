"""A database that cannot be reached, or refuses something: every command says it in one line, with exit code 3."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, text

from rag_assets.db.database import dispose_engines
from tests.integration.db.session.test_preconditions import run
from tests.support.installation.command_line import Cli

ROLE = "refused_role"
PASSWORD = "sesame-open"
READ = ("check", "status", "db current", "plan", "spaces list", "search legs")
WRITE = ("ingest FOLDER", "repair", "maintain", "spaces promote 1", "projects list", "embed memories", "tune")
ADMINISTRATION = ("db upgrade", "db create-tables", "spaces retire 7")

Setup = Callable[[Engine, Engine, pytest.MonkeyPatch], AbstractContextManager[None]]


def use(monkeypatch: pytest.MonkeyPatch, url: URL) -> None:
    monkeypatch.setenv("RAG_ASSETS_DATABASE_URL", url.render_as_string(hide_password=False))


def at(**changes: object) -> Setup:
    """An address with these parts changed."""

    @contextmanager
    def setup(built: Engine, _admin: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        url = built.url.set(**{name: value for name, value in changes.items() if name != "option"})  # type: ignore[arg-type]
        if "option" in changes:
            url = url.update_query_dict({str(changes["option"]): "1"})
        use(monkeypatch, url)
        yield
        use(monkeypatch, built.url)

    return setup


def as_role(*statements: str, undo: tuple[str, ...] = ()) -> Setup:
    """A role that may do all that runs need, but for what these statements take away."""

    @contextmanager
    def setup(built: Engine, admin: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        database = built.url.database
        run(
            admin,
            f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'",
            f"REVOKE ALL ON DATABASE {database} FROM PUBLIC",
            f"GRANT ALL ON DATABASE {database} TO {ROLE}",
        )
        run(
            built,
            f"GRANT ALL ON SCHEMA rag TO {ROLE}",
            f"GRANT ALL ON ALL TABLES IN SCHEMA rag TO {ROLE}",
            f"GRANT ALL ON ALL SEQUENCES IN SCHEMA rag TO {ROLE}",
            *(statement.format(database=database, role=ROLE) for statement in statements),
        )
        use(monkeypatch, built.url.set(username=ROLE, password=PASSWORD))
        try:
            yield
        finally:
            dispose_engines()
            run(built, f"DROP OWNED BY {ROLE}", *(statement.format(database=database) for statement in undo))
            run(admin, f"REVOKE ALL ON DATABASE {database} FROM {ROLE}", f"DROP ROLE {ROLE}")
            use(monkeypatch, built.url)

    return setup


def with_database(set_: str, reset: str) -> Setup:
    @contextmanager
    def setup(built: Engine, admin: Engine, _monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        run(admin, f"ALTER DATABASE {built.url.database} {set_}")
        yield
        run(admin, f"ALTER DATABASE {built.url.database} {reset}")

    return setup


@contextmanager
def in_no_time(_built: Engine, _admin: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RAG_ASSETS_STATEMENT_TIMEOUT_S", "0.001")
    yield
    monkeypatch.delenv("RAG_ASSETS_STATEMENT_TIMEOUT_S")


@contextmanager
def beside_a_lock(built: Engine, _admin: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RAG_ASSETS_LOCK_TIMEOUT_S", "0.02")
    with built.begin() as connection:
        connection.execute(text("LOCK TABLE rag.embedding_spaces, rag.projects"))
        yield


ALL = (*READ, *WRITE, *ADMINISTRATION)
URL_SETTING = "RAG_ASSETS_DATABASE_URL"
FAULTS: dict[str, tuple[Setup, tuple[str, ...], str]] = {
    "port": (at(host="127.0.0.1", port=1, query={}), ALL, f"port 1 failed.*{URL_SETTING}"),
    "host": (at(host="nowhere.invalid", query={}), ALL, f"nowhere.invalid.*{URL_SETTING}"),
    "password": (at(password=PASSWORD), ALL, f"password authentication failed.*{URL_SETTING}"),
    "database": (at(database="nothere"), ALL, f'"nothere" does not exist.*{URL_SETTING}'),
    "unknown parameter": (at(option="spplmode"), ALL, f'"spplmode".*{URL_SETTING}'),
    "reads only": (
        with_database("SET default_transaction_read_only = on", "RESET default_transaction_read_only"),
        (*WRITE, "db create-tables"),
        "ALTER DATABASE .* RESET default_transaction_read_only;",
    ),
    "no SELECT": (
        as_role("REVOKE SELECT ON ALL TABLES IN SCHEMA rag FROM {role}"),
        ALL,
        f"GRANT SELECT ON ALL TABLES IN SCHEMA rag TO {ROLE};",
    ),
    "no INSERT": (
        as_role("REVOKE INSERT ON ALL TABLES IN SCHEMA rag FROM {role}"),
        WRITE,
        "may not write to the tables",
    ),
    "no TEMP": (
        as_role("REVOKE TEMPORARY ON DATABASE {database} FROM {role}"),
        WRITE,
        f"GRANT TEMPORARY ON DATABASE .* TO {ROLE};",
    ),
    "no CREATE": (
        as_role("DROP SCHEMA rag CASCADE", "REVOKE CREATE ON DATABASE {database} FROM {role}"),
        ("ingest FOLDER", "db upgrade", "search legs"),
        f"GRANT CREATE ON DATABASE .* TO {ROLE};",
    ),
    "limit of the role": (
        as_role(f"ALTER ROLE {ROLE} CONNECTION LIMIT 0"),
        ALL,
        f'ALTER ROLE "{ROLE}" CONNECTION LIMIT',
    ),
    "statement timeout": (in_no_time, ALL, "RAG_ASSETS_STATEMENT_TIMEOUT_S"),
    "lock timeout": (
        beside_a_lock,
        ("status", "spaces list", "spaces promote 1", "repair", "maintain", "plan", "search legs"),
        "a table is locked: .*RAG_ASSETS_LOCK_TIMEOUT_S",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_command_says_what_is_refused_and_what_helps(
    built: Engine, admin: Engine, cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    setup, commands, said = FAULTS[fault]
    monkeypatch.setenv("RAG_ASSETS_RETRY_S", "0.1")
    with setup(built, admin, monkeypatch):
        for command in commands:
            dispose_engines()
            # One line on stderr and nothing on stdout.
            line = cli(*(str(folder) if word == "FOLDER" else word for word in command.split())).error(3)
            assert re.search(said, line), (command, line)
            assert PASSWORD not in line, command
            assert str(built.url.password) not in line, command
        dispose_engines()
        if fault not in ("no INSERT", "lock timeout", "statement timeout"):
            assert cli("status", "--health").code == 3
    dispose_engines()
    monkeypatch.delenv("RAG_ASSETS_RETRY_S")
    if fault != "no CREATE":
        # What was refused is gone, and nothing is left of the attempts.
        assert cli("status", "--health").code == 0
        assert cli("check").code == 0
