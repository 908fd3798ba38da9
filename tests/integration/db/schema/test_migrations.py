"""Upgrades and downgrades of the schema, on tables with rows and beside tables created at run time."""

from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Column, Engine, Integer, Table, inspect
from sqlalchemy.exc import IntegrityError

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.models import Base
from rag_assets.db.models.embeddings import DEFAULT_OVERSAMPLING
from rag_assets.db.schema import migrations
from rag_assets.db.spaces.registered_tables import ENTRY_POINT_GROUP
from rag_assets.errors import UsageError
from rag_assets.repositories import (
    NewMessage,
    SyncAdapters,
    SyncConversations,
    SyncMemories,
    SyncProjects,
    SyncSessions,
    SyncSpecializations,
    SyncUsers,
)
from tests.support.database.indexes import make_live
from tests.support.database.rows import add_vectors, create_space, definition
from tests.support.installation.packages import install_package
from tests.support.pipeline.check_runs import change_database
from tests.support.pipeline.runs import rows

# As the latency check makes them where a bound does not suffice.
ADD_PROBE = "CREATE UNLOGGED TABLE IF NOT EXISTS rag.latency_probe_1 (content_hash bytea, embedding vector NOT NULL)"

TABLES_AT = {
    "0001": {"documents", "projects"},
    "0002": {"documents", "projects", "document_chunks", "document_chunkings"},
}
APPLICATION = {
    *("users", "sessions", "specializations", "adapters"),
    *("conversations", "conversation_messages", "memories"),
}


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names("rag")) - {"alembic_version"}


@pytest.fixture
def empty(empty_database: URL) -> Engine:
    return make_engine(empty_database)


def test_the_head_by_file_name_is_that_of_alembic() -> None:
    assert [migrations.head_revision()] == ScriptDirectory(str(migrations.migrations_dir())).get_heads()


def test_an_upgraded_empty_database_equals_the_models(empty: Engine) -> None:
    assert migrations.current_revision(empty) is None
    migrations.upgrade(empty)
    assert migrations.current_revision(empty) == migrations.head_revision()
    assert "No new upgrade operations" in migrations.check(empty)
    empty.dispose()


def test_models_and_database_are_equal_beside_partition_index_probe_and_view(built: Engine) -> None:
    change_database(built, ADD_PROBE)
    found = tables(built)
    assert {"embeddings_1", "latency_probe_1"} <= found
    assert sorted(inspect(built).get_view_names("rag")) == ["live_chunks", "readable_chunks"]
    assert "No new upgrade operations" in migrations.check(built)


def test_a_difference_between_models_and_database_is_an_error_that_names_it(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE rag.documents ADD COLUMN extra text")
    with pytest.raises(UsageError, match="extra"):
        migrations.check(engine)


BEACONS = """
from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

from rag_assets.tables import Embeddable, Identified, Timestamped


class Base(DeclarativeBase):
    metadata = MetaData(schema="rag")


class Beacon(Identified, Embeddable, Timestamped, Base):
    __tablename__ = "beacons"
"""


def test_a_table_of_another_package_is_no_difference_and_a_leftover_table_is_one(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE rag.beacons (id uuid PRIMARY KEY)")
    with pytest.raises(UsageError, match="beacons"):
        migrations.check(engine)
    install_package(tmp_path, monkeypatch, "beacons", BEACONS, {"beacons": "beacons:Beacon"}, ENTRY_POINT_GROUP)
    assert "No new upgrade operations" in migrations.check(engine)


def test_a_table_that_another_package_adds_to_our_metadata_is_no_difference(engine: Engine) -> None:
    other = Table("others", Base.metadata, Column("id", Integer, primary_key=True))
    try:
        assert "No new upgrade operations" in migrations.check(engine)
    finally:
        Base.metadata.remove(other)


def test_each_step_down_and_up_again_works_on_tables_with_rows(built: Engine) -> None:
    counted = "SELECT (SELECT count(*) FROM rag.documents), (SELECT count(*) FROM rag.document_chunks)"
    [(documents, chunks)] = rows(built, counted)
    change_database(built, ADD_PROBE)
    everything = tables(built)
    migrations.downgrade(built, "0002")
    # Nothing of the spaces is left: the next space with this id would use a remaining probe.
    assert tables(built) == TABLES_AT["0002"]
    assert inspect(built).get_view_names("rag") == []
    assert rows(built, counted) == [(documents, chunks)]
    migrations.upgrade(built)
    assert tables(built) == everything - {"embeddings_1", "latency_probe_1"}
    migrations.downgrade(built, "0001")
    assert tables(built) == TABLES_AT["0001"]
    assert rows(built, "SELECT count(*) FROM rag.documents") == [(documents,)]
    migrations.upgrade(built)
    migrations.downgrade(built, "base")
    assert tables(built) == set()
    migrations.upgrade(built)
    assert rows(built, counted) == [(0, 0)]
    assert "No new upgrade operations" in migrations.check(built)


def fill_application(engine: Engine) -> None:
    """At least one row in each table of the application, with references between them."""
    ada = SyncUsers(engine).create("ada@example.org").id
    SyncSessions(engine).create(ada)
    chef = SyncSpecializations(engine).create("chef").id
    SyncAdapters(engine).create(chef, "v1", base_model="b", uri="u", rank=1, alpha=1)
    zoo = SyncProjects(engine).create("park", "/park").id
    conversations = SyncConversations(engine)
    talk = conversations.create("talk", user_id=ada, project_id=zoo).id
    said = conversations.append_many(talk, [NewMessage("user", "one"), NewMessage("assistant", "two")])
    conversations.append(conversations.fork(talk, version=1).id, NewMessage("user", "three"))
    SyncMemories(engine).remember(
        "likes tea", user_id=ada, project_id=zoo, specialization_id=chef, source_message_id=said[0].id
    )


def test_each_step_of_the_application_goes_down_and_up_again_on_tables_with_rows(engine: Engine) -> None:
    def counts() -> dict[str, int]:
        return {name: rows(engine, f"SELECT count(*) FROM rag.{name}")[0][0] for name in APPLICATION & tables(engine)}

    fill_application(engine)
    before = counts()
    assert min(before.values()) > 0
    assert set(before) == APPLICATION
    for revision, left in (
        ("0008", APPLICATION - {"memories"}),
        ("0007", {"users", "sessions", "specializations", "adapters"}),
        ("0006", {"users", "sessions"}),
        ("0005", set()),
    ):
        migrations.downgrade(engine, revision)
        # A downgrade drops its own tables and deletes no row of others.
        assert counts() == {name: before[name] for name in left}
    migrations.upgrade(engine)
    assert counts() == dict.fromkeys(APPLICATION, 0)
    assert "No new upgrade operations" in migrations.check(engine)
    assert rows(engine, "SELECT name FROM rag.projects") == [("park",)]


def test_a_downgrade_changes_spaces_to_what_older_versions_can_index(engine: Engine) -> None:
    wanted = {
        "short": {"storage": "bit", "dimensions": 8},
        "middle": {"storage": "bit", "dimensions": 3_000},
        "long": {"storage": "bit", "dimensions": 5_000},
        "lists": {"method": "ivfflat", "dimensions": 8},
    }
    for fingerprint, changed in wanted.items():
        made = create_space(engine, definition(fingerprint, chunking=fingerprint, **changed))
        add_vectors(engine, made, 3, seed=made.id)
    migrations.downgrade(engine, "0012")
    left = "SELECT fingerprint, storage FROM rag.embedding_spaces ORDER BY id"
    assert rows(engine, left) == [("short", "vector"), ("middle", "halfvec"), ("lists", "vector")]
    assert rows(engine, "SELECT count(*) FROM rag.embeddings") == [(9,)]
    migrations.upgrade(engine)
    assert rows(engine, "SELECT DISTINCT method, oversampling FROM rag.embedding_spaces") == [
        ("hnsw", DEFAULT_OVERSAMPLING)
    ]
    assert "No new upgrade operations" in migrations.check(engine)


def test_a_downgrade_gives_each_space_an_embedder_of_its_own(engine: Engine) -> None:
    for fingerprint in ("one", "other"):
        create_space(engine, definition(fingerprint))
    migrations.downgrade(engine, "0016")
    assert rows(engine, "SELECT embedder FROM rag.embedding_spaces ORDER BY id") == [("one",), ("other",)]
    migrations.upgrade(engine)
    assert "No new upgrade operations" in migrations.check(engine)


def test_spaces_of_registered_tables_are_dropped_for_versions_that_do_not_know_them(engine: Engine) -> None:
    for kind in ("notes", "memories"):
        add_vectors(engine, create_space(engine, definition(kind, kind=kind)), 3)
    migrations.downgrade(engine, "0017")
    assert rows(engine, "SELECT kind FROM rag.embedding_spaces") == [("memories",)]
    assert {table for table in tables(engine) if table.startswith("embeddings_")} == {"embeddings_2"}
    with pytest.raises(IntegrityError, match="kind_known"):
        change_database(engine, "UPDATE rag.embedding_spaces SET kind = 'notes'")
    migrations.upgrade(engine)
    assert create_space(engine, definition("other", kind="notes")).kind == "notes"
    assert "No new upgrade operations" in migrations.check(engine)


def test_a_downgrade_merges_the_parts_of_an_index(engine: Engine) -> None:
    made = create_space(engine, definition("f", parts=3))
    add_vectors(engine, made, 9)
    make_live(engine, made)
    before = rows(engine, "SELECT * FROM rag.embeddings ORDER BY 2")
    shown = rows(engine, "SELECT pg_get_viewdef('rag.live_chunks'::regclass)")
    migrations.downgrade(engine, "0031")
    assert {table for table in tables(engine) if table.startswith("embeddings_")} == {"embeddings_1"}
    assert rows(engine, "SELECT * FROM rag.embeddings_1 ORDER BY 2") == before
    assert rows(engine, "SELECT pg_get_viewdef('rag.live_chunks'::regclass)") == shown
    migrations.upgrade(engine)
    assert "No new upgrade operations" in migrations.check(engine)


def test_an_unknown_revision_is_an_error_that_names_it(engine: Engine) -> None:
    with pytest.raises(UsageError, match="9999"):
        migrations.upgrade(engine, "9999")


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(empty: Engine) -> None:
    with empty.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA rag")
        connection.exec_driver_sql("CREATE TABLE rag.documents (mine int)")
    with pytest.raises(Exception, match="already exists"):
        migrations.upgrade(empty)
    assert tables(empty) == {"documents"}
    assert migrations.current_revision(empty) is None
    empty.dispose()
