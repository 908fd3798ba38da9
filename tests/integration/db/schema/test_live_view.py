"""Privileges and views on rag.live_chunks survive a promotion, or the error names the views that prevent it."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.spaces import set_live_space
from rag_assets.errors import IntegrityError
from tests.support.database.rows import create_space, definition
from tests.support.pipeline.runs import rows

LIVE = "SELECT id FROM rag.embedding_spaces WHERE status = 'live'"
GRANTED = (
    "SELECT grantee, privilege_type, is_grantable FROM information_schema.role_table_grants "
    "WHERE table_name = 'live_chunks' AND (grantee LIKE 'view \"reader\" %' OR grantee = 'PUBLIC') ORDER BY 1, 2"
)


@pytest.fixture
def reader(engine: Engine) -> Iterator[str]:
    """Another role, with a name that must be quoted."""
    role = f'"view ""reader"" {uuid4().hex[:12]}"'
    execute(engine, f"CREATE ROLE {role}")
    yield role
    execute(engine, f"DROP OWNED BY {role}; DROP ROLE {role}")


def execute(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


def flip(engine: Engine, space: EmbeddingSpace) -> None:
    with engine.begin() as connection:
        assert set_live_space(connection, space)


def test_privileges_on_the_view_are_kept(engine: Engine, reader: str) -> None:
    flip(engine, create_space(engine, definition("f2", dimensions=2)))
    execute(
        engine,
        f"GRANT SELECT ON rag.live_chunks TO {reader} WITH GRANT OPTION; GRANT TRIGGER ON rag.live_chunks TO PUBLIC",
    )
    granted = rows(engine, GRANTED)
    assert [privilege for _, privilege, _ in granted] == ["TRIGGER", "SELECT"]
    flip(engine, create_space(engine, definition("again", dimensions=2, chunking="c2")))
    assert rows(engine, GRANTED) == granted
    flip(engine, create_space(engine, definition("f3", dimensions=3)))
    assert rows(engine, GRANTED) == granted


def test_a_dependent_view_shows_new_vectors_of_the_same_type(engine: Engine) -> None:
    flip(engine, create_space(engine, definition("f2", dimensions=2)))
    execute(engine, "CREATE VIEW mine AS SELECT id, content, embedding FROM rag.live_chunks")
    other = create_space(engine, definition("again", dimensions=2, chunking="c2"))
    flip(engine, other)
    [(shown,)] = rows(engine, "SELECT pg_get_viewdef('rag.live_chunks')")
    assert f"rag.embeddings_{other.id}" in shown
    assert rows(engine, "SELECT count(*) FROM mine") == [(0,)]


def test_a_dependent_view_that_prevents_a_promotion_is_named_and_the_old_space_stays_live(engine: Engine) -> None:
    old, new = (
        create_space(engine, definition("f2", dimensions=2)),
        create_space(engine, definition("f3", dimensions=3)),
    )
    flip(engine, old)
    execute(engine, "CREATE VIEW mine AS SELECT id, content, embedding FROM rag.live_chunks")
    with pytest.raises(IntegrityError, match=r"vectors become vector\(3\).*view mine depends on view rag.live_chunks"):
        flip(engine, new)
    assert rows(engine, LIVE) == [(old.id,)]
    execute(engine, "DROP VIEW mine")
    flip(engine, new)
    assert rows(engine, LIVE) == [(new.id,)]
