"""Databases, roles and environments that refuse or change something: it works, or one sentence says what helps."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from sqlalchemy import URL, Engine, select, text

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.connections.options import EngineOptions
from rag_assets.db.connections.urls import parse_database_url
from rag_assets.db.models import Project
from rag_assets.db.reports.health import check_health
from rag_assets.db.schema import migrations
from rag_assets.db.session.pinned_settings import SESSION_SETTINGS
from rag_assets.db.session.server_errors import explained_errors
from rag_assets.errors import RefusedError, ServiceError
from rag_assets.projects.store import save_project
from tests.support.database.database_server import DatabaseServer

ROLE = f"role_{uuid4().hex[:12]}"
SETTINGS = {
    "client_encoding": "LATIN1",
    "datestyle": "German",
    "intervalstyle": "sql_standard",
    "timezone": "Asia/Kathmandu",
    "standard_conforming_strings": "off",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "default_transaction_isolation": "serializable",
    "gin_fuzzy_search_limit": "1",
    "quote_all_identifiers": "on",
    "statement_timeout": "1h",
    "idle_session_timeout": "1h",
    "transaction_timeout": "1h",
}


@pytest.fixture(scope="module")
def role(admin: Engine) -> Iterator[str]:
    """A role that may only connect."""
    run(admin, f"CREATE ROLE {ROLE} LOGIN PASSWORD 'secret'")
    yield ROLE
    run(admin, f"DROP ROLE {ROLE}")


def run(engine: Engine, *statements: str) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.execute(text(statement))


@contextmanager
def opened(url: URL, options: EngineOptions | None = None) -> Iterator[Engine]:
    engine = make_engine(url, options=options)
    try:
        yield engine
    finally:
        engine.dispose()


def unhealthy(engine: Engine) -> dict[str, str]:
    return {check.name: check.detail for check in check_health(engine) if not check.healthy}


def refusal(engine: Engine) -> str:
    """Why the schema cannot be upgraded: one sentence, and nothing was done."""
    with pytest.raises(RefusedError) as raised:
        migrations.upgrade(engine)
    assert "\n" not in str(raised.value)
    assert str(raised.value) in unhealthy(engine)["database"]
    return str(raised.value)


def assert_works(engine: Engine) -> None:
    migrations.upgrade(engine)
    with engine.begin() as connection:
        save_project(connection, "zoo", "/docs/Übung €", {})
    with engine.connect() as connection:
        [project] = connection.execute(select(Project)).all()
        assert (project.source_uri, project.created_at.tzinfo) == ("/docs/Übung €", UTC)
        assert (datetime.now(UTC) - project.created_at).total_seconds() < 60
        assert connection.scalar(text("SELECT interval '1 day 2 hours'")).total_seconds() == 26 * 3600
        assert connection.scalar(text("SELECT 0.1::float8")) == 0.1
        assert connection.scalar(text(r"SELECT 'a\b'")) == r"a\b"
        assert connection.scalar(text("SELECT '\\xff'::bytea")) == b"\xff"
    assert unhealthy(engine) == {}


def test_settings_of_the_database_do_not_reach_a_session(empty_database: URL, admin: Engine) -> None:
    for name, value in SETTINGS.items():
        run(admin, f"ALTER DATABASE {empty_database.database} SET {name} = '{value}'")
    with opened(empty_database) as engine:
        assert_works(engine)
        with engine.connect() as connection:
            found = {name: connection.scalar(text(f"SHOW {name}")) for name in SESSION_SETTINGS}
            assert found == SESSION_SETTINGS
            limits = ("transaction_timeout", "idle_session_timeout", "idle_in_transaction_session_timeout")
            assert {connection.scalar(text(f"SHOW {name}")) for name in limits} == {"0"}
    with opened(empty_database, EngineOptions(pooler=True)) as pooled, pooled.connect() as connection:
        # Poolers pass these on.
        assert connection.scalar(text("SELECT timestamptz '2024-02-29 12:00+00'")) == datetime(
            2024, 2, 29, 12, tzinfo=UTC
        )
        assert connection.scalar(text("SELECT 'Übung €'")) == "Übung €"


def test_settings_of_the_environment_do_not_reach_a_session(
    empty_database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
    for name, value in {
        "PGCLIENTENCODING": "LATIN1",
        "PGDATESTYLE": "German",
        "PGTZ": "Asia/Kathmandu",
        "PGOPTIONS": f"{options} -c work_mem=5MB",
    }.items():
        monkeypatch.setenv(name, value)
    with opened(empty_database) as engine:
        assert_works(engine)
        with engine.connect() as connection:
            assert connection.scalar(text("SHOW work_mem")) == "5MB"


def test_an_extension_outside_of_the_search_path_is_found(empty_database: URL, admin: Engine) -> None:
    with opened(empty_database) as engine:
        run(engine, "CREATE SCHEMA extensions", "CREATE EXTENSION vector SCHEMA extensions")
    with opened(empty_database) as engine:
        assert_works(engine)
    # A pooler's session belongs to several clients: there the role or the database must have it.
    with opened(empty_database, EngineOptions(pooler=True)) as pooled:
        said = unhealthy(pooled)["database"]
        assert said.startswith("the extension vector is in schema extensions, which is not in the search_path of role ")
        helps = said.partition("; run: ")[2]
        assert helps.startswith("ALTER ROLE ")
    run(admin, helps)
    with opened(empty_database, EngineOptions(pooler=True)) as pooled:
        assert "database" not in unhealthy(pooled)


def test_a_closed_schema_with_the_extension_is_named_with_the_grant_that_opens_it(
    empty_database: URL, role: str
) -> None:
    with opened(empty_database) as superuser:
        run(superuser, "CREATE SCHEMA extensions", "CREATE EXTENSION vector SCHEMA extensions")
        with opened(empty_database.set(username=role, password="secret")) as engine:
            helps = f"GRANT USAGE ON SCHEMA extensions TO {role};"
            assert f"role {role} may not use schema extensions" in unhealthy(engine)["database"]
            assert helps in unhealthy(engine)["database"]
        run(superuser, helps)
        with opened(empty_database.set(username=role, password="secret")) as engine:
            assert "may not use schema" not in unhealthy(engine).get("database", "")
        run(superuser, f"DROP OWNED BY {role}")


def test_a_search_path_without_any_schema_does_not_matter(empty_database: URL, admin: Engine) -> None:
    run(admin, f"ALTER DATABASE {empty_database.database} SET search_path = ''")
    with opened(empty_database) as engine:
        assert_works(engine)


def test_a_role_needs_privileges_and_is_told_which(empty_database: URL, admin: Engine, role: str) -> None:
    database = empty_database.database
    superuser = make_engine(empty_database)
    run(superuser, "CREATE EXTENSION vector")
    with opened(empty_database.set(username=role, password="secret")) as engine:
        run(admin, f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC")
        for what, privilege in (("schemas", "CREATE"), ("temporary tables", "TEMPORARY")):
            helps = f"GRANT {privilege} ON DATABASE {database} TO {role};"
            said = f"role {role} may not create {what} in database {database}; let an administrator run: {helps}"
            assert refusal(engine) == said
            run(admin, helps)
        assert_works(engine)
        run(superuser, f"REASSIGN OWNED BY {role} TO CURRENT_USER", f"REVOKE ALL ON SCHEMA rag FROM {role}")
        assert f"role {role} may not read schema rag" in refusal_of_reading(engine)
        run(superuser, refusal_of_reading(engine).partition("run: ")[2])
        # A role that may only read searches, and the statement that is refused says why.
        migrations.upgrade(engine)
        run(superuser, "UPDATE rag.alembic_version SET version_num = '0001'")
        assert "belong to" in refusal(engine)
        run(superuser, f"DROP OWNED BY {role}")
    superuser.dispose()


def refusal_of_reading(engine: Engine) -> str:
    with pytest.raises(RefusedError) as raised:
        migrations.upgrade(engine)
    return str(raised.value)


def test_a_schema_that_an_administrator_made_for_the_role_will_do(
    empty_database: URL, admin: Engine, role: str
) -> None:
    superuser = make_engine(empty_database)
    run(superuser, "CREATE EXTENSION vector", "CREATE SCHEMA rag", f"GRANT ALL ON SCHEMA rag TO {role}")
    with opened(empty_database.set(username=role, password="secret")) as engine:
        assert_works(engine)
        run(superuser, f"DROP OWNED BY {role}")
    superuser.dispose()


def test_several_hosts_are_tried_in_order(server: URL) -> None:
    place, port = str(server.query["host"]).replace("/", "%2F"), server.query["port"]
    password = "" if server.password is None else f":{server.password}"
    address = f"postgresql://{server.username}{password}@%2Fnowhere:1,{place}:{port}/{server.database}"
    with opened(parse_database_url("URL", address)) as engine, engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    nowhere = parse_database_url("URL", f"postgresql://u:hidden@%2Fnowhere,%2Felsewhere/{server.database}")
    with (
        opened(nowhere) as engine,
        pytest.raises(ServiceError, match=r"the database does not answer: .*nowhere.*elsewhere") as raised,
        explained_errors(),
    ):
        engine.connect()
    assert "hidden" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_names_that_need_quotes_are_quoted(server: URL, admin: Engine) -> None:
    name, owner = f"test_My Base {uuid4().hex[:8]}", f'The "Role" {uuid4().hex[:8]}'
    quoted = '"' + owner.replace('"', '""') + '"'
    run(admin, f'CREATE DATABASE "{name}"', f"CREATE ROLE {quoted} LOGIN PASSWORD 'p@ss/w?rd#%'")
    try:
        with opened(server.set(database=name)) as superuser:
            run(superuser, 'CREATE SCHEMA "My Extensions"', 'CREATE EXTENSION vector SCHEMA "My Extensions"')
            with opened(server.set(database=name, username=owner, password="p@ss/w?rd#%")) as engine:
                for privilege in ("USAGE ON SCHEMA", "CREATE ON DATABASE"):
                    said = refusal_of_reading(engine)
                    helps = said.partition("run: ")[2]
                    assert helps.startswith(f"GRANT {privilege} ")
                    run(superuser, helps)
                assert_works(engine)
            run(superuser, f"DROP OWNED BY {quoted}")
    finally:
        run(admin, f'DROP DATABASE "{name}" WITH (FORCE)', f"DROP ROLE {quoted}")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
def test_a_database_of_another_encoding_is_refused(server: URL, admin: Engine, encoding: str) -> None:
    name = f"test_{uuid4().hex[:12]}"
    run(admin, f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    try:
        with opened(server.set(database=name)) as engine:
            assert refusal(engine).startswith(
                f"database {name} has the encoding {encoding}, which cannot hold all texts"
            )
            assert migrations.current_revision(engine) is None
    finally:
        run(admin, f"DROP DATABASE {name} WITH (FORCE)")


def test_a_database_that_only_reads_by_default_is_refused(empty_database: URL, admin: Engine) -> None:
    run(admin, f"ALTER DATABASE {empty_database.database} SET default_transaction_read_only = on")
    with opened(empty_database) as engine:
        said = refusal(engine)
        assert "only read by default" in said
    run(admin, said.partition("to change it: ")[2].partition(";")[0])
    with opened(empty_database) as engine:
        assert_works(engine)


def test_pinned_settings_do_not_depend_on_the_server(databases: DatabaseServer) -> None:
    with opened(databases.url) as engine, engine.connect() as connection:
        for name, value in SESSION_SETTINGS.items():
            assert connection.scalar(text(f"SHOW {name}")) == value
