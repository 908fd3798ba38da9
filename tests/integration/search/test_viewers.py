"""Every way in, in every mode, for every viewer: what it finds is what it may read, and nothing tells of the rest."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from rag_assets import AsyncClient, Client, NotFoundError, UsageError, Viewer
from rag_assets.db.access.roles import apply_roles
from rag_assets.db.access.viewer import viewing_as
from rag_assets.repositories.base import Repository
from rag_assets.testing import HashEncoder
from tests.support.pipeline.runs import rows

SHARED = "The keeper feeds the whale every morning before the storm."
STAFF, NOBODY, EVERYONE = Viewer(groups=["staff"]), Viewer(user="eve"), Viewer()
# By the number of the path: who may read it.
DECLARED: list[list[str] | None] = [["group:staff"], ["user:anna"], [], ["everyone"], None]
VIEWERS = {
    "none": NOBODY,
    "a group": STAFF,
    "a user": Viewer(user="anna"),
    "both": Viewer(user="anna", groups=["staff"]),
}


@pytest.fixture
def guarded(built: Engine) -> Engine:
    """The two projects, the readers of their documents by turns; the documents of zoo without readers are for staff."""
    with built.begin() as connection:
        apply_roles(connection)
        paths = connection.execute(text("SELECT id, row_number() OVER (ORDER BY id) FROM rag.documents")).all()
        for id_, number in paths:
            values = {"id": id_, "readers": DECLARED[number % len(DECLARED)]}
            connection.execute(text("UPDATE rag.documents SET readers = :readers WHERE id = :id"), values)
        connection.execute(
            text("UPDATE rag.projects SET settings = settings || '{\"readers\": [\"group:staff\"]}' WHERE name = 'zoo'")
        )
    return built


def readable(engine: Engine, viewer: Viewer) -> set[UUID]:
    """The chunks of the documents that the viewer may read, by the filter in Python."""
    mine = {"everyone", *viewer.readers}
    found = rows(
        engine,
        "SELECT c.id, coalesce(d.readers, ARRAY(SELECT jsonb_array_elements_text(p.settings -> 'readers'))), "
        "d.readers IS NULL AND NOT p.settings ? 'readers' FROM rag.document_chunks c "
        "JOIN rag.documents d ON d.id = c.document_id JOIN rag.projects p ON p.id = d.project_id",
    )
    return {id_ for id_, allowed, is_open in found if is_open or mine & set(allowed)}


def make(viewer: Viewer) -> Client:
    return Client(encoder=HashEncoder(), principal=viewer)


ALL: Any = {"k": 1000, "distinct": False}


def ids(*answers: Any) -> set[UUID]:
    return {hit.chunk_id for answer in answers for hit in answer.hits}


WAYS: dict[str, Callable[[Client], set[UUID]]] = {
    "vector": lambda client: ids(client.search("whale storm", **ALL)),
    "exact": lambda client: ids(client.search("whale storm", exact=True, **ALL)),
    "many": lambda client: ids(*client.search_many(["whale", "storm"], **ALL)),
    "pages": lambda client: ids(
        *(client.search("whale", k=60, offset=offset, distinct=False) for offset in range(0, 240, 60))
    ),
    "context": lambda client: ids(client.search("whale", context=1, mmr=0.5, **ALL)),
    "filter": lambda client: ids(
        client.search("whale", project=[one.name for one in client.projects.list_all()], **ALL)
    ),
}


@pytest.mark.parametrize("viewer", VIEWERS.values(), ids=[*VIEWERS])
def test_every_way_finds_what_the_viewer_may_read(guarded: Engine, viewer: Viewer) -> None:
    wanted = readable(guarded, viewer)
    everything = {id_ for (id_,) in rows(guarded, "SELECT id FROM rag.document_chunks")}
    assert wanted < everything
    with make(viewer) as client, Client(encoder=HashEncoder()) as owner:
        for way, find in WAYS.items():
            assert find(client) == wanted, way
        for mode in ("text", "hybrid"):
            every = ids(owner.search("whale keeper storm", mode=mode, **ALL))
            mine = ids(client.search("whale keeper storm", mode=mode, **ALL))
            assert mine == every & wanted, mode
        assert client.aggregate().chunks == len(wanted)
        for chunk in [*sorted(wanted)[::25], *sorted(everything - wanted)[::25]]:
            if chunk in wanted:
                assert client.explain(chunk).chunk_id == chunk
                assert {hit.chunk_id for hit in client.similar(chunk, k=5).hits} <= wanted
            else:
                for ask in (client.explain, client.similar):
                    with pytest.raises(NotFoundError, match=str(chunk)):
                        ask(chunk)  # type: ignore[operator]
        listed = client.projects.list_all()
        stored = {one.id for project in listed for one in client.documents.list_by_project(project.id, limit=100).items}
        split = dict(rows(guarded, "SELECT id, document_id FROM rag.document_chunks"))
        assert stored & set(split.values()) == {split[chunk] for chunk in wanted}
        # Copies of a text, of which one stands for all.
        [hit] = [hit for hit in client.search(SHARED, k=1).hits if hit.text == SHARED] or [None]
        copies = {id_ for (id_,) in rows(guarded, "SELECT id FROM rag.document_chunks WHERE chunk_text = :t", t=SHARED)}
        assert (1 + len(hit.copies) if hit else 0) == len(copies & wanted)


@pytest.mark.parametrize("viewer", [STAFF, EVERYONE], ids=["staff", "everyone"])
def test_a_viewer_with_more_chunks_than_are_sampled_finds_all_of_its_own(
    guarded: Engine, monkeypatch: pytest.MonkeyPatch, viewer: Viewer
) -> None:
    for module in ("lexemes", "search"):
        monkeypatch.setattr(f"rag_assets.search.keyword.{module}.SAMPLED_CHUNKS", 10)
    monkeypatch.setattr("rag_assets.search.keyword.search.MIN_CANDIDATES", 20)
    wanted = readable(guarded, viewer)
    with make(viewer) as client, Client(encoder=HashEncoder()) as owner:
        for query in ("whale keeper storm", "the", '"the whale"', "feeds -storm"):
            every = ids(owner.search(query, mode="text", **ALL))
            assert ids(client.search(query, mode="text", **ALL)) == every & wanted, query
            best = client.search(query, mode="text", k=3, distinct=False).hits
            assert {hit.chunk_id for hit in best} <= wanted
            assert len(best) == min(3, len(every & wanted))


def test_scores_do_not_change_with_what_is_hidden(guarded: Engine) -> None:
    def ask() -> list[Any]:
        with make(NOBODY) as client:
            return [
                [(hit.chunk_id, hit.score, hit.parts) for hit in client.search(query, mode=mode, k=50).hits]  # type: ignore[arg-type]
                for mode in ("vector", "text", "hybrid")
                for query in ("whale", "keeper morning", '"the whale"', "-storm whale", "zebra keeper")
            ]

    before = ask()
    assert any(before)
    with guarded.begin() as connection:
        hidden = set(connection.scalars(text("SELECT id FROM rag.document_chunks"))) - readable(guarded, NOBODY)
        connection.execute(text("DELETE FROM rag.document_chunks WHERE id = ANY(:ids)"), {"ids": [*hidden]})
        connection.execute(text("DELETE FROM rag.lexemes"))
        connection.execute(text("DELETE FROM rag.word_statistics"))
    assert ask() == before


def test_a_hidden_text_is_not_corrected_to_nor_found_by_its_vector(guarded: Engine) -> None:
    with guarded.begin() as connection:
        connection.execute(text("UPDATE rag.documents SET readers = '{}'"))
    with make(STAFF) as client:
        for mode in ("vector", "text", "hybrid"):
            answer = client.search(SHARED.replace("whale", "whael"), mode=mode)  # type: ignore[arg-type]
            assert (answer.hits, answer.corrected, answer.degraded) == ([], {}, None)
        assert client.projects.list_all() != []
        with pytest.raises(UsageError, match=r"there is no project 'none' \(known: sea, zoo\)"):
            client.search("whale", project="none")


def test_a_hidden_project_is_one_that_does_not_exist(guarded: Engine) -> None:
    with guarded.begin() as connection:
        connection.execute(text("UPDATE rag.documents SET readers = NULL"))
    with make(NOBODY) as client:
        assert [project.name for project in client.projects.list_all()] == ["sea"]
        said = []
        for name in ("zoo", "zap"):
            with pytest.raises(UsageError) as error:
                client.search("whale", project=name)
            said.append(str(error.value).replace(name, "NAME"))
        assert said[0] == said[1]
        assert "zoo" not in said[0]


def test_a_change_of_readers_is_in_force_with_its_commit(guarded: Engine) -> None:
    with make(NOBODY) as client:
        for readers, count in (("{}", 0), ("{everyone}", None), ("{}", 0)):
            with guarded.begin() as connection:
                connection.execute(text("UPDATE rag.documents SET readers = CAST(:r AS text[])"), {"r": readers})
            hits = client.search("whale", k=5).hits
            assert len(hits) == (5 if count is None else count)


def test_one_client_follows_the_first_declaration_of_readers_and_its_end(guarded: Engine) -> None:
    with make(NOBODY) as client:
        for is_restricted in (False, True, False, True):
            readers = "ARRAY['group:staff']" if is_restricted else "NULL"
            with guarded.begin() as connection:
                connection.execute(text(f"UPDATE rag.documents SET readers = {readers}"))
                connection.execute(text("UPDATE rag.projects SET settings = settings - 'readers'"))
            for mode in ("vector", "text", "hybrid"):
                assert bool(client.search("whale", mode=mode).hits) != is_restricted  # type: ignore[arg-type]


def test_an_async_client_and_a_task_have_their_viewer(guarded: Engine) -> None:
    class Own(Repository):
        pass

    async def ask() -> None:
        async with AsyncClient(encoder=HashEncoder(), principal=STAFF) as client:
            assert ids(await client.search("whale", **ALL)) == readable(guarded, STAFF)
            assert len(await client.projects.list_all()) == 2
            with pytest.raises(UsageError, match="reads for a principal, and writes nothing"):
                await client.users.create("a@b.c")
        async with AsyncClient(encoder=HashEncoder()) as shared:

            async def found(viewer: Viewer) -> bool:
                with viewing_as(viewer):
                    answer = await shared.search("whale", **ALL)
                    listed = await shared.projects.list_all()
                return ids(answer) == readable(guarded, viewer) and bool(listed)

            assert all(await asyncio.gather(*(found(viewer) for viewer in [*VIEWERS.values()] * 4)))
            assert len((await shared.search("whale", **ALL)).hits) == len(
                rows(guarded, "SELECT 1 FROM rag.document_chunks")
            )

    asyncio.run(ask())


def test_an_evaluation_knows_only_what_the_principal_may_read(guarded: Engine, tmp_path: Path) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_text(json.dumps({"query": SHARED, "relevant": {"copy.txt": 1, "page00.md": 1}}) + "\n")
    with guarded.begin() as connection:
        connection.execute(text("UPDATE rag.documents SET readers = '{}' WHERE file_path <> 'copy.txt'"))
        connection.execute(text("UPDATE rag.documents SET readers = '{everyone}' WHERE file_path = 'copy.txt'"))
    with make(NOBODY) as client:
        report = client.evaluate(file, mode="vector")
        assert (report.settings["documents"], report.missing) == (1, ["page00.md"])
        for kinds in ("messages", ["chunks", "memories"]):
            with pytest.raises(UsageError, match="a principal searches documents only"):
                client.search("whale", kinds=kinds)  # type: ignore[call-overload]


def test_a_viewer_without_roles_is_refused_only_where_readers_are_declared(built: Engine) -> None:
    with built.begin() as connection:
        connection.execute(text("UPDATE rag.projects SET settings = settings - 'readers'"))
    with make(NOBODY) as client:
        assert client.search("whale", k=3).hits


@pytest.mark.parametrize(
    "given", [{"user": ""}, {"groups": ["a", " b"]}, {"groups": "staff"}, {"tenant": "x" * 201}, {"user": "a\0"}]
)
def test_a_viewer_that_cannot_be(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Viewer(**given)
