"""SQL as the roles of readers and writers: a declared viewer's rows, nothing without one, and attacks by name."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from rag_assets.db.access.roles import ROLES, apply_roles, keep_roles_right, role_statements
from rag_assets.db.access.signing_key import renew_signing_key
from rag_assets.db.access.viewer import Viewer
from rag_assets.db.connections.engines import make_engine
from rag_assets.db.writes.rows import EmbeddingRow
from rag_assets.db.writes.upserts import write_chunks, write_documents, write_embeddings
from rag_assets.documents.text import content_hash
from rag_assets.projects.store import save_project
from tests.support.database.database_server import DatabaseServer
from tests.support.database.rows import create_space, document, split_document, unit_vectors

READERS: list[list[str] | None] = [None, [], ["everyone"], ["user:anna"], ["group:staff"], ["group:staff", "user:bob"]]
PROJECTS: dict[str, dict[str, Any]] = {
    "open": {},
    "staff": {"readers": ["group:staff"]},
    "anna": {"readers": ["user:anna"]},
}
SHARED = "A text that every document has. "


@pytest.fixture(scope="module")
def guarded(databases: DatabaseServer, template: str) -> Iterator[Engine]:
    """In each project a document for each of READERS; all have one text in common, and one of their own."""
    with databases.copy(template) as url:
        engine = make_engine(url)
        space = create_space(engine)
        with engine.begin() as connection:
            apply_roles(connection)
            texts = [SHARED]
            documents, chunked = [], []
            for project, settings in PROJECTS.items():
                save_project(connection, project, "/docs", settings)
                for number, readers in enumerate(READERS):
                    own = f"secret of {project} {number}"
                    row = document(f"{number}.md", SHARED + own, project=project, readers=readers)
                    documents.append(row)
                    chunked.append(split_document(row, [SHARED, own]))
                    texts.append(own)
            write_documents(connection, documents)
            write_chunks(connection, space.chunking, chunked)
            vectors = unit_vectors(len(texts), space.dimensions)
            rows = [EmbeddingRow(content_hash(one), vector) for one, vector in zip(texts, vectors, strict=True)]
            write_embeddings(connection, space.id, rows)
            connection.execute(text("UPDATE rag.embedding_spaces SET status = 'live'"))
            connection.execute(text("INSERT INTO rag.users (email) VALUES ('anna@x.org'), ('bob@x.org')"))
            for name in ("anna", "bob"):
                values = {"name": name, "email": f"{name}@x.org", "talk": f"talk of {name}"}
                connection.execute(
                    text(
                        "WITH c AS (INSERT INTO rag.conversations (name, user_id) SELECT :talk, id FROM rag.users "
                        "WHERE email = :email RETURNING id), m AS (INSERT INTO rag.memories (content, content_hash, "
                        "user_id) SELECT :name, sha256(convert_to(:name, 'UTF8')), id FROM rag.users "
                        "WHERE email = :email) INSERT INTO rag.conversation_messages (conversation_id, version, role, "
                        "content, content_hash, token_count) SELECT id, 1, 'user', :name, "
                        "sha256(convert_to(:name, 'UTF8')), 1 FROM c"
                    ),
                    values,
                )
            connection.execute(text("ANALYZE"))
        yield engine
        engine.dispose()


@contextmanager
def acting(
    engine: Engine, role: str, viewer: Viewer | None = None, lifetime: float | None = None
) -> Iterator[Connection]:
    with engine.connect() as connection, connection.begin() as transaction:
        if viewer is not None:
            declare(connection, token(connection, viewer))
        connection.execute(text(f"SET LOCAL ROLE {role}"))
        yield connection
        transaction.rollback()


def token(connection: Connection, viewer: Viewer, lifetime: float | None = None) -> str:
    values = {"facts": viewer.facts(), "lifetime": lifetime}
    signed = connection.scalar(text("SELECT rag.sign_viewer(CAST(:facts AS jsonb), :lifetime)"), values)
    assert signed is not None
    return str(signed)


def declare(connection: Connection, signed: str) -> None:
    connection.execute(text("SELECT set_config('rag.viewer', :signed, true)"), {"signed": signed})


def names(connection: Connection, statement: str) -> set[str]:
    return set(connection.scalars(text(statement)))


def expected(viewer: Viewer, projects: set[str] | None = None) -> set[str]:
    """The filter in Python."""
    mine = {"everyone", *viewer.readers}
    found = set()
    for project, settings in PROJECTS.items():
        for number, readers in enumerate(READERS):
            allowed = readers if readers is not None else settings.get("readers", ["everyone"])
            if mine & set(allowed) and (projects is None or project in projects):
                found.add(f"{project}/{number}.md")
    return found


SEEN = "SELECT p.name || '/' || d.file_path FROM rag.documents d JOIN rag.projects p ON p.id = d.project_id"
VIEWERS = [
    Viewer(),
    Viewer(user="anna"),
    Viewer(user="bob"),
    Viewer(groups=["staff"]),
    Viewer(user="anna", groups=["staff", "board"]),
    Viewer(tenant="acme"),
]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("viewer", VIEWERS, ids=str)
def test_a_role_sees_what_its_viewer_may_read(guarded: Engine, role: str, viewer: Viewer) -> None:
    wanted = expected(viewer)
    with acting(guarded, role, viewer) as connection:
        assert names(connection, SEEN) == wanted
        chunks = (
            "SELECT p.name || '/' || d.file_path FROM rag.document_chunks c "
            "JOIN rag.documents d ON d.id = c.document_id JOIN rag.projects p ON p.id = d.project_id"
        )
        assert names(connection, chunks) == wanted
        assert connection.scalar(text("SELECT count(*) FROM rag.document_chunks")) == 2 * len(wanted)
        assert names(connection, "SELECT name FROM rag.projects") == {one.partition("/")[0] for one in wanted}
        if role == "rag_assets_search":
            own = {f"secret of {one.partition('/')[0]} {one.partition('/')[2][0]}" for one in wanted}
            vectors = "SELECT content_hash FROM rag.{}"
            hashes = {content_hash(one) for one in own} | ({content_hash(SHARED)} if wanted else set())
            for table in ("embeddings", f"embeddings_{connection.scalar(text('SELECT id FROM rag.embedding_spaces'))}"):
                assert set(connection.scalars(text(vectors.format(table)))) == hashes
        else:
            view = "SELECT project || '/' || source FROM rag.readable_chunks"
            assert names(connection, view) == wanted


@pytest.mark.parametrize("role", ROLES)
def test_a_role_sees_nothing_without_a_viewer(guarded: Engine, role: str) -> None:
    with acting(guarded, role) as connection:
        for table in ("projects", "documents", "document_chunks"):
            assert connection.scalar(text(f"SELECT count(*) FROM rag.{table}")) == 0


def test_a_viewer_of_some_projects_sees_no_other(guarded: Engine) -> None:
    with guarded.connect() as connection:
        ids: dict[str, Any] = dict(connection.execute(text("SELECT name, id FROM rag.projects")).all())  # type: ignore[arg-type]
    random = Random(5)
    for _ in range(12):
        chosen = set(random.sample([*ids], random.randint(0, 3)))
        viewer = Viewer(
            user=random.choice([None, "anna", "bob"]),
            groups=random.sample(["staff", "board"], random.randint(0, 2)),
            projects=[ids[name] for name in chosen],
        )
        with acting(guarded, "rag_assets_reader", viewer) as connection:
            assert names(connection, SEEN) == expected(viewer, chosen), viewer


def test_random_permissions_are_those_of_the_filter_in_python(guarded: Engine) -> None:
    random = Random(11)
    readers = ["everyone", "user:anna", "user:bob", "group:staff", "group:board", "tenant:acme"]
    with guarded.connect() as connection, connection.begin() as transaction:
        ids = list(connection.scalars(text("SELECT id FROM rag.documents ORDER BY id")))
        for _ in range(10):
            declared = {id_: random.choice([None, random.sample(readers, random.randint(0, 3))]) for id_ in ids}
            for id_, allowed in declared.items():
                values = {"id": id_, "readers": allowed}
                connection.execute(text("UPDATE rag.documents SET readers = :readers WHERE id = :id"), values)
            projects = {name: random.choice([{}, {"readers": random.sample(readers, 2)}]) for name in PROJECTS}
            for name, settings in projects.items():
                save_project(connection, name, "/docs", settings)
            owner: dict[Any, str] = dict(
                connection.execute(
                    text("SELECT d.id, p.name FROM rag.documents d JOIN rag.projects p ON p.id = d.project_id")
                ).all()  # type: ignore[arg-type]
            )
            for viewer in VIEWERS:
                mine = {"everyone", *viewer.readers}
                wanted = {
                    id_
                    for id_, allowed in declared.items()
                    if mine & set(projects[owner[id_]].get("readers", mine) if allowed is None else allowed)
                }
                declare(connection, token(connection, viewer))
                connection.execute(text("SET LOCAL ROLE rag_assets_reader"))
                assert set(connection.scalars(text("SELECT id FROM rag.documents"))) == wanted
                connection.execute(text("RESET ROLE"))
        transaction.rollback()


def test_conversations_and_memories_are_those_of_the_user(guarded: Engine) -> None:
    for name in ("anna", "bob", "eve"):
        own = {name} if name != "eve" else set()
        with acting(guarded, "rag_assets_writer", Viewer(user=f"{name}@X.org")) as connection:
            assert names(connection, "SELECT name FROM rag.conversations") == {f"talk of {one}" for one in own}
            assert names(connection, "SELECT content FROM rag.conversation_messages") == own
            assert names(connection, "SELECT content FROM rag.memories") == own
            assert names(connection, "SELECT email FROM rag.users") == {f"{one}@x.org" for one in own}
            changed = connection.execute(text("UPDATE rag.conversations SET name = 'mine'"))
            assert changed.rowcount == len(own)
    forge = "INSERT INTO rag.conversations (name, user_id) VALUES ('forged', gen_random_uuid())"
    anna = Viewer(user="anna@x.org")
    with (
        acting(guarded, "rag_assets_writer", anna) as connection,
        pytest.raises(DBAPIError, match="row-level security"),
    ):
        connection.execute(text(forge))


def test_the_owner_sees_everything(guarded: Engine) -> None:
    with guarded.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM rag.documents")) == len(PROJECTS) * len(READERS)


# Attacks by name, as the role of readers unless they say otherwise: each sees nothing, or is refused.


def forged(change: Callable[[str], str]) -> Callable[[Connection], str]:
    return lambda connection: change(token(connection, Viewer(user="anna")))


ATTACKS: dict[str, Callable[[Connection], str]] = {
    "no token": lambda _: "",
    "plain facts": lambda _: Viewer(user="anna").facts(),
    "another signature": forged(lambda one: "0" * 64 + one[64:]),
    "no signature": forged(lambda one: one[64:]),
    "other facts": forged(lambda one: one.replace("user:anna", "user:boss")),
    "another group": forged(lambda one: one.replace('["user:anna"]', '["user:anna", "group:staff"]')),
    "expired": lambda connection: token(connection, Viewer(user="anna"), lifetime=-0.1),
    "no end": forged(lambda one: one[:65] + "E99999999999|" + one.partition("|")[2].partition("|")[2]),
    "null facts": forged(lambda one: one[:65] + "T|null"),
    "longer": forged(lambda one: one + " "),
    "huge": lambda _: "a" * 100_000,
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=[*ATTACKS])
def test_a_forged_declaration_shows_nothing(guarded: Engine, attack: Callable[[Connection], str]) -> None:
    with guarded.connect() as connection, connection.begin():
        signed = attack(connection)
        connection.execute(text("SET LOCAL ROLE rag_assets_reader"))
        declare(connection, signed)
        assert connection.scalar(text("SELECT count(*) FROM rag.documents")) == 0


def test_a_declaration_is_worth_nothing_in_another_transaction(guarded: Engine) -> None:
    with acting(guarded, "rag_assets_reader", Viewer(user="anna")) as connection:
        stolen = connection.scalar(text("SELECT current_setting('rag.viewer')"))
        assert connection.scalar(text("SELECT count(*) FROM rag.documents"))
    for _ in range(2):
        # Perhaps the same connection of the pool.
        with acting(guarded, "rag_assets_reader") as connection:
            assert connection.scalar(text("SELECT current_setting('rag.viewer', true)")) in (None, "")
            declare(connection, stolen)
            assert connection.scalar(text("SELECT count(*) FROM rag.documents")) == 0


def test_one_with_a_lifetime_is_in_force_until_its_end(guarded: Engine) -> None:
    with guarded.connect() as connection, connection.begin():
        signed = token(connection, Viewer(user="anna"), lifetime=60)
    with acting(guarded, "rag_assets_reader") as connection:
        declare(connection, signed)
        assert names(connection, SEEN) == expected(Viewer(user="anna"))


def test_a_new_key_ends_what_the_old_one_signed(guarded: Engine) -> None:
    with guarded.begin() as connection:
        signed = token(connection, Viewer(user="anna"), lifetime=60)
        renew_signing_key(connection)
    with acting(guarded, "rag_assets_reader") as connection:
        declare(connection, signed)
        assert names(connection, SEEN) == set()
    with acting(guarded, "rag_assets_reader", Viewer(user="anna")) as connection:
        assert names(connection, SEEN) == expected(Viewer(user="anna"))


REFUSED = {
    "sign for oneself": "SELECT rag.sign_viewer('{}')",
    "read the key": "SELECT * FROM rag.viewer_key",
    "read keys of callers": "SELECT * FROM rag.api_keys",
    "read sessions": "SELECT * FROM rag.sessions",
    "read words of all": "SELECT * FROM rag.lexemes",
    "read statistics of words": "SELECT * FROM rag.word_statistics",
    "read what is staged": "SELECT * FROM rag.staged_chunks",
    "read vectors": "SELECT * FROM rag.embeddings",
    "read changes": "SELECT * FROM rag.row_changes",
    "read searches": "SELECT * FROM rag.query_vectors",
    "call what reads past policies": "SELECT rag.readable_matches('c1', 'english', 'secret', 9)",
    "sample what reads past policies": "SELECT rag.readable_sample('c1', 9)",
    "compare what reads past policies": "SELECT rag.readable_nearest(1, 'c1', NULL, 'cosine', false, 9, 9)",
    "read readers of others": "SELECT readers FROM rag.documents",
    "read the source": "SELECT source_uri FROM rag.projects",
    "switch policies off": "ALTER TABLE rag.documents DISABLE ROW LEVEL SECURITY",
    "drop a policy": "DROP POLICY rag_assets_declared ON rag.documents",
    "replace a function": "CREATE OR REPLACE FUNCTION rag.viewer_user() RETURNS uuid LANGUAGE sql AS 'SELECT NULL'",
    "write documents": "UPDATE rag.documents SET readers = '{everyone}'",
    "delete": "DELETE FROM rag.document_chunks",
    "truncate": "TRUNCATE rag.documents CASCADE",
    "read most common values": "SELECT * FROM pg_statistic",
}


@pytest.mark.parametrize("statement", REFUSED.values(), ids=[*REFUSED])
def test_a_reader_may_not(guarded: Engine, statement: str) -> None:
    with acting(guarded, "rag_assets_reader", Viewer(user="anna")) as connection:
        with pytest.raises(DBAPIError) as error:
            connection.execute(text(statement.replace(":", r"\:")))
        assert isinstance(error.value.orig, InsufficientPrivilege)


def test_row_security_off_is_an_error_and_not_a_way(guarded: Engine) -> None:
    with acting(guarded, "rag_assets_reader", Viewer(user="anna")) as connection:
        connection.execute(text("SET LOCAL row_security = off"))
        with pytest.raises(DBAPIError, match="row-level security"):
            connection.execute(text("SELECT * FROM rag.documents"))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) FROM rag.documents WHERE 1 / (content NOT LIKE '%staff 1%')::int = 1",
        "SELECT count(*) FROM rag.document_chunks WHERE CAST('1' || substring(chunk_text, 'staff 1') AS int) = 1",
        "SELECT count(*) FROM rag.document_chunks WHERE pg_temp.tell(chunk_text)",
        "SELECT count(*) FROM rag.readable_chunks WHERE pg_temp.tell(content)",
    ],
    ids=["a division", "a cast", "a cheap function", "a cheap function over the view"],
)
def test_conditions_are_not_asked_of_hidden_rows(guarded: Engine, statement: str) -> None:
    with acting(guarded, "rag_assets_reader", Viewer(user="anna", groups=["staff"])) as connection:
        connection.execute(
            text(
                "CREATE FUNCTION pg_temp.tell(given text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN "
                "IF given LIKE '%staff 1%' THEN RAISE 'seen'; END IF; RETURN true; END $$"
            )
        )
        assert connection.scalar(text(statement.replace("::", "\\:\\:"))) is not None


def test_a_shadowed_name_does_not_lead_a_function_astray(guarded: Engine) -> None:
    with acting(guarded, "rag_assets_reader") as connection:
        connection.execute(text("CREATE TEMPORARY TABLE viewer_key (id int, inner_pad bytea, outer_pad bytea)"))
        connection.execute(
            text(
                "CREATE FUNCTION pg_temp.sha256(bytea) RETURNS bytea LANGUAGE sql AS "
                "$$ SELECT decode(repeat('00', 32), 'hex') $$"
            )
        )
        connection.execute(text("SET LOCAL search_path = pg_temp, rag, pg_catalog"))
        declare(connection, "0" * 64 + "|E99999999999|" + Viewer(user="anna").facts())
        assert connection.scalar(text("SELECT count(*) FROM rag.documents")) == 0


def test_the_statistics_of_columns_are_hidden(guarded: Engine) -> None:
    with acting(guarded, "rag_assets_reader", Viewer(user="anna")) as connection:
        found = connection.execute(text("SELECT tablename FROM pg_stats WHERE schemaname = 'rag'")).all()
        assert {name for (name,) in found} <= {"embedding_spaces"}


def test_the_statements_run_again_and_are_kept_right(guarded: Engine) -> None:
    with guarded.begin() as connection:
        printed = [one.as_string(None) for one in role_statements(connection)]
        assert printed[0].startswith("DO $do$ BEGIN IF to_regrole('rag_assets_reader') IS NULL")
        connection.execute(text("DROP POLICY rag_assets_declared ON rag.document_chunks"))
        keep_roles_right(connection)
    with acting(guarded, "rag_assets_reader") as connection:
        assert connection.scalar(text("SELECT count(*) FROM rag.document_chunks")) == 0
