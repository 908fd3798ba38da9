"""The functions that searches call for a viewer return what its policies show, and nothing without a viewer."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from rag_assets.db.access.roles import apply_roles
from rag_assets.db.access.viewer import SEARCH_ROLE, Viewer
from rag_assets.db.schema.migrations import downgrade, upgrade

NAMES = ["everyone", "user:anna", "group:staff", "tenant:acme"]
NEAREST = """
SELECT n.content_hash, n.distance, n.compared, n.qualifying FROM rag.embedding_spaces s, rag.readable_nearest(
    s.id, s.chunking, (SELECT embedding FROM rag.embeddings LIMIT 1), 'cosine', false, :most, 1000) n
WHERE s.status = 'live' AND s.kind = 'chunks'
"""
SAMPLE = """
SELECT p.document_id FROM rag.embedding_spaces s, rag.readable_sample(s.chunking, 1000) p
WHERE s.status = 'live' AND s.kind = 'chunks'
"""
VIEWERS = [Viewer(), Viewer(user="anna"), Viewer(groups=["staff"], tenant="acme")]


@contextmanager
def searching(engine: Engine, viewer: Viewer | None) -> Iterator[Connection]:
    with engine.begin() as connection:
        if viewer is not None:
            declare = text("SELECT set_config('rag.viewer', rag.sign_viewer(CAST(:facts AS jsonb)), true)")
            connection.execute(declare, {"facts": viewer.facts()})
        connection.execute(text(f"SET LOCAL ROLE {SEARCH_ROLE}"))
        yield connection


@pytest.fixture
def guarded(built: Engine) -> Engine:
    """The two projects; each document has readers by chance, or those of its project, which may be closed."""
    random = Random(3)
    with built.begin() as connection:
        apply_roles(connection)
        for id_ in connection.scalars(text("SELECT id FROM rag.documents ORDER BY file_path")).all():
            values = {"id": id_, "readers": random.choice([None, random.sample(NAMES, random.randint(0, 2))])}
            connection.execute(text("UPDATE rag.documents SET readers = :readers WHERE id = :id"), values)
        closed = "UPDATE rag.projects SET settings = settings || '{\"readers\": [\"group:staff\"]}' WHERE name = 'zoo'"
        connection.execute(text(closed))
    return built


@pytest.mark.parametrize("viewer", VIEWERS, ids=str)
def test_functions_return_what_policies_show(guarded: Engine, viewer: Viewer) -> None:
    with searching(guarded, viewer) as connection:
        shown = connection.execute(text("SELECT document_id, content_hash FROM rag.document_chunks")).all()
        found = connection.execute(text(NEAREST), {"most": 1000}).all()
        assert {row.content_hash for row in found} == {hash_ for _, hash_ in shown}
        assert [row.distance for row in found] == sorted(row.distance for row in found)
        assert {(row.compared, row.qualifying) for row in found} == {(len(found), len(shown))}
        assert {one for (one,) in connection.execute(text(SAMPLE))} == {document for document, _ in shown}
        # More than are to be compared: no row, and one more than the limit.
        [few] = connection.execute(text(NEAREST), {"most": len(shown) - 1}).all()
        assert few == (None, None, 0, len(shown))


def test_functions_return_nothing_without_a_viewer(guarded: Engine) -> None:
    with searching(guarded, None) as connection:
        assert connection.execute(text(NEAREST), {"most": 1000}).all() == [(None, None, 0, 0)]
        assert connection.execute(text(SAMPLE)).all() == []


def test_facts_that_do_not_say_which_projects_are_of_none(guarded: Engine) -> None:
    facts: Any
    for facts in ('{"readers": []}', '{"readers": [], "projects": "all"}', "null", "[]"):
        with guarded.begin() as connection:
            declare = text("SELECT set_config('rag.viewer', rag.sign_viewer(CAST(:facts AS jsonb)), true)")
            connection.execute(declare, {"facts": facts})
            connection.execute(text(f"SET LOCAL ROLE {SEARCH_ROLE}"))
            assert connection.scalar(text("SELECT count(*) FROM rag.documents")) == 0, facts
            assert connection.execute(text(SAMPLE)).all() == [], facts


def test_policies_are_closed_between_two_versions(guarded: Engine) -> None:
    with searching(guarded, VIEWERS[1]) as connection:
        before = connection.scalar(text("SELECT count(*) FROM rag.documents"))
    downgrade(guarded, "0030")
    with searching(guarded, VIEWERS[1]) as connection:
        assert connection.scalar(text("SELECT count(*) FROM rag.documents")) == 0
    upgrade(guarded)
    with searching(guarded, VIEWERS[1]) as connection:
        assert connection.scalar(text("SELECT count(*) FROM rag.documents")) == before
