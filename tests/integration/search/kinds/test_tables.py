"""Search of a table that another package registers: the nearest rows that qualify, and how options are checked."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from rag_assets import AsyncClient, Client
from rag_assets.db.spaces.registered_tables import load_table
from rag_assets.db.spaces.spaces import ensure_space, set_live_space
from rag_assets.errors import ServiceError, UsageError
from rag_assets.pipeline import refresh
from rag_assets.pipeline.target.wanted_space import target_space
from rag_assets.repositories import SyncBulk, SyncMemories
from rag_assets.search.retriever import Retriever
from rag_assets.settings.settings import Settings
from tests.support.fakes import HashEncoder
from tests.support.installation.notes import create_notes, install_notes
from tests.support.pipeline.stages import write_batches

ENCODER = HashEncoder()
NOTES = (
    ("Whale", "Ada", "the keeper feeds the whale"),
    ("Tide", "Ben", "high water is at six"),
    ("Lamp", "Ada", "the lamp of the keeper needs oil"),
    ("Gone", "Ada", "the keeper feeds the whale no more"),
    ("Draft", None, "a whale without an author"),
)


def embed(engine: Engine, settings: Settings, kind: str) -> None:
    target = target_space(settings, kind)
    write_batches(engine, refresh.refresh_memory_embeddings(engine, settings, target, lambda _: ENCODER))
    with engine.begin() as connection:
        set_live_space(connection, ensure_space(connection, target.definition))


@pytest.fixture
def retriever(engine: Engine, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Retriever:
    install_notes(tmp_path, monkeypatch)
    create_notes(engine)
    note = load_table("notes")
    with Session(engine) as session:
        session.add_all(note(title=title, author=author, content=content) for title, author, content in NOTES)
        session.commit()
    embed(engine, settings, "notes")
    with engine.begin() as connection:
        connection.execute(text("UPDATE keeper.notes SET deleted_at = now() WHERE title = 'Gone'"))
    return Retriever(engine, encoder=lambda _: ENCODER)


def titles(answer: Any) -> list[str]:
    return [hit.row.title for hit in answer.hits]


def test_the_nearest_rows_are_instances_of_the_model_without_deleted_ones(retriever: Retriever) -> None:
    answer = retriever.search("the keeper feeds the whale", kinds="notes", k=2)
    assert titles(answer) == ["Whale", "Lamp"]
    first = answer.hits[0]
    assert (first.rank, first.score, first.text) == (1, 1.0, "the keeper feeds the whale")
    assert isinstance(first.row, load_table("notes"))
    assert (first.row.author, first.row.deleted_at) == ("Ada", None)
    assert (answer.query, answer.space, answer.ef_search) == ("the keeper feeds the whale", 1, answer.ef_search)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"author": "Ada"}, {"Whale", "Lamp"}),
        ({"author": ["Ada", "Ben"]}, {"Whale", "Lamp", "Tide"}),
        ({"author": None}, {"Draft"}),
        ({"author": "Ada", "title": "Lamp"}, {"Lamp"}),
        ({"title": "Gone"}, set()),
        ({"author": []}, set()),
        ({}, {"Whale", "Lamp", "Tide", "Draft"}),
    ],
)
@pytest.mark.parametrize("exact", [False, True])
def test_where_restricts_the_rows(retriever: Retriever, where: dict[str, Any], expected: set[str], exact: bool) -> None:
    assert set(titles(retriever.search_table("notes", "whale", where=where, exact=exact))) == expected


def test_ids_are_columns_like_others(retriever: Retriever) -> None:
    [whale] = retriever.search_table("notes", "whale", where={"title": "Whale"}).hits
    assert titles(retriever.search_table("notes", "keeper", where={"id": [whale.row.id]})) == ["Whale"]


def test_a_minimal_score_leaves_out_the_rest(retriever: Retriever) -> None:
    assert titles(retriever.search_table("notes", "high water is at six", min_score=0.9)) == ["Tide"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"where": {"writer": "Ada"}}, "where has the column 'writer'; the table has id, .*title"),
        ({"where": {"id": "no id"}}, "no id"),
        ({"where": "author"}, "where is 'author'; give a mapping"),
        ({"mode": "text"}, "a search of notes.*mode"),
        ({"k": 0}, "k is 0"),
    ],
)
def test_a_wrong_option_is_refused(retriever: Retriever, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        retriever.search("whale", kinds="notes", **options)


def test_several_kinds_are_searched_together(retriever: Retriever, engine: Engine, settings: Settings) -> None:
    SyncMemories(engine).remember("a whale lives here")
    embed(engine, settings, "memories")
    answer: Any = retriever.search("whale", kinds=["notes", "memories"], where={"author": "Ada"}, k=3)
    assert list(answer.answers) == ["notes", "memories"]
    assert [type(hit).__name__ for hit in answer.hits] == ["TableHit", "MemoryHit", "TableHit"]


def test_rows_of_a_declarative_base_of_its_own_can_be_written_in_bulk(
    retriever: Retriever, engine: Engine, settings: Settings
) -> None:
    written = SyncBulk(engine).insert_rows(load_table("notes"), [{"title": "Storm", "content": "a storm is near"}])
    embed(engine, settings, "notes")
    assert (written, titles(retriever.search_table("notes", "a storm is near", k=1))) == (1, ["Storm"])


def test_an_unknown_kind_is_refused_with_those_that_there_are(retriever: Retriever) -> None:
    with pytest.raises(UsageError, match="choose one or several of chunks, messages, memories, notes"):
        retriever.search("whale", kinds="note")


def test_before_the_first_promotion_the_error_names_the_command(
    engine: Engine, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_notes(tmp_path, monkeypatch)
    with pytest.raises(ServiceError, match="rag-assets embed notes"):
        Retriever(engine, encoder=lambda _: ENCODER).search("whale", kinds="notes")


def test_both_clients_search_the_table(retriever: Retriever, settings: Settings) -> None:
    with Client(settings, encoder=ENCODER) as client:
        assert titles(client.search("whale", kinds="notes", where={"author": "Ben"})) == ["Tide"]

    async def ask() -> list[str]:
        async with AsyncClient(settings, encoder=ENCODER) as client:
            return titles(await client.search("whale", kinds="notes", where={"author": "Ben"}))

    assert asyncio.run(ask()) == ["Tide"]
