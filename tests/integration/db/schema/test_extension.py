"""pgvector is missing, too old, or may not be created: the error says who must do what."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import URL, Engine, create_engine, text

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.reports.health import check_health
from rag_assets.db.schema import migrations
from rag_assets.db.schema.extension import ensure_pgvector, pgvector_version
from rag_assets.errors import ServiceError


@pytest.fixture
def plain_role(admin: Engine) -> Iterator[str]:
    name = f"role_{uuid4().hex[:12]}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'"))
    yield name
    with admin.connect() as connection:
        connection.execute(text(f"DROP ROLE {name}"))


@pytest.fixture
def restricted(admin: Engine, empty_database: URL, plain_role: str) -> Iterator[Engine]:
    """An empty database, as a role that may only connect to it."""
    engine = make_engine(empty_database.set(username=plain_role, password="secret"))
    yield engine
    engine.dispose()


def test_a_missing_extension_is_created(empty_database: URL) -> None:
    engine = make_engine(empty_database)
    with engine.begin() as connection:
        assert pgvector_version(connection) is None
        version = ensure_pgvector(connection)
        assert version == pgvector_version(connection)
        assert ensure_pgvector(connection) == version
    engine.dispose()


def test_the_error_for_a_role_without_rights_has_the_statement_for_an_administrator(
    admin: Engine, restricted: Engine, plain_role: str, empty_database: URL
) -> None:
    with admin.connect() as connection:
        connection.execute(text(f"GRANT CREATE ON DATABASE {empty_database.database} TO {plain_role}"))
    with pytest.raises(ServiceError) as raised:
        migrations.upgrade(restricted)
    message = str(raised.value)
    assert message.startswith(f"role {plain_role} may not create the extension vector")
    assert f"in database {empty_database.database};" in message
    assert message.endswith("CREATE EXTENSION vector;")
    said = next(check.detail for check in check_health(restricted) if check.name == "extension")
    assert f"where role {plain_role} may not create it" in said
    with admin.connect() as connection:
        connection.execute(text(f"REVOKE CREATE ON DATABASE {empty_database.database} FROM {plain_role}"))


def test_a_plain_owner_of_a_database_can_use_the_extension_that_an_administrator_created(
    admin: Engine, empty_database: URL, plain_role: str
) -> None:
    owner = make_engine(empty_database.set(username=plain_role, password="secret"))
    superuser = make_engine(empty_database)
    with superuser.begin() as connection:
        connection.execute(text("CREATE EXTENSION vector"))
        connection.execute(text(f"GRANT CREATE ON DATABASE {empty_database.database} TO {plain_role}"))
    migrations.upgrade(owner)
    assert migrations.current_revision(owner) == migrations.head_revision()
    with superuser.begin() as connection:
        connection.execute(text(f"DROP OWNED BY {plain_role}"))
    owner.dispose()
    superuser.dispose()


@pytest.mark.parametrize("version", ["0.8.3", "0.5.1"])
def test_a_version_before_0_8_4_is_rejected_with_the_statement_that_updates_it(
    empty_database: URL, version: str
) -> None:
    engine = make_engine(empty_database)
    with engine.begin() as connection:
        connection.execute(text("CREATE EXTENSION vector"))
        connection.execute(text("UPDATE pg_extension SET extversion = :v WHERE extname = 'vector'"), {"v": version})
    with pytest.raises(ServiceError, match=rf"pgvector {version} in database .* is older than 0\.8\.4") as raised:
        migrations.upgrade(engine)
    assert str(raised.value).endswith("ALTER EXTENSION vector UPDATE;")
    assert migrations.current_revision(engine) is None
    engine.dispose()


@pytest.mark.parametrize("version", ["0.8.4", "0.8.10", "0.9", "1.0.0", "0.9.0-dev"])
def test_a_newer_version_is_accepted(empty_database: URL, version: str) -> None:
    engine = make_engine(empty_database)
    with engine.begin() as connection:
        connection.execute(text("CREATE EXTENSION vector"))
        connection.execute(text("UPDATE pg_extension SET extversion = :v WHERE extname = 'vector'"), {"v": version})
        assert ensure_pgvector(connection) == version
    engine.dispose()


def test_the_error_for_a_server_without_pgvector_says_what_to_install(empty_database: URL) -> None:
    # Since PostgreSQL 18 the folder of extensions is a setting: here it is an empty folder.
    engine = create_engine(empty_database, connect_args={"options": "-c extension_control_path=/nowhere"})
    with engine.begin() as connection, pytest.raises(ServiceError, match="has no pgvector") as raised:
        ensure_pgvector(connection)
    assert "0.8.4 or newer" in str(raised.value)
    engine.dispose()
