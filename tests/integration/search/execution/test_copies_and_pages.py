"""Distinct hits and their copies; pages that follow each other in every mode."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from rag_assets.db.connections.engines import make_engine
from rag_assets.errors import UsageError
from rag_assets.search.execution import modes
from rag_assets.search.filters.document_filters import Filters
from rag_assets.search.results import Answer, Hit
from rag_assets.search.retriever import Retriever
from rag_assets.search.vector import nearest
from tests.support.database.database_server import DatabaseServer
from tests.support.fakes import HashEncoder
from tests.support.pipeline.check_runs import change_database
from tests.support.pipeline.runs import rows

COPIED = "The keeper feeds the whale every morning before the storm."
QUESTION = "whale in the winter storm"
MODES = ("vector", "text", "hybrid")
# Copies of the document zoo/copy.txt.
ADD_COPIES = """
WITH original AS (SELECT d.* FROM rag.documents d JOIN rag.projects p ON p.id = d.project_id
    WHERE p.name = 'zoo' AND d.file_path = 'copy.txt'),
added AS (INSERT INTO rag.documents (project_id, file_path, title, content, content_hash, file_type, metadata)
    SELECT project_id, 'copies/' || n || '.txt', title, content, content_hash, file_type, metadata
    FROM original, generate_series(1, 60) n RETURNING id)
INSERT INTO rag.document_chunks (document_id, chunking, chunk_index, chunk_text, content_hash, char_start, char_end,
    token_count, language)
SELECT added.id, c.chunking, c.chunk_index, c.chunk_text, c.content_hash, c.char_start, c.char_end, c.token_count,
    c.language
FROM added, rag.document_chunks c JOIN original ON original.id = c.document_id
"""

# One of them in capitals, with the same vector under its own hash.
CAPITALS = """
WITH changed AS (UPDATE rag.document_chunks c SET chunk_text = upper(chunk_text) || ' ', content_hash = sha256('other')
    FROM rag.documents d WHERE d.id = c.document_id AND d.file_path = 'copies/60.txt' RETURNING d.id),
renamed AS (UPDATE rag.documents SET file_path = 'zoo.txt' WHERE id = (SELECT id FROM changed))
INSERT INTO rag.embeddings (space_id, content_hash, embedding)
SELECT e.space_id, sha256('other'), e.embedding FROM rag.embeddings e JOIN rag.document_chunks c USING (content_hash)
    JOIN rag.documents d ON d.id = c.document_id WHERE d.file_path = 'copies/1.txt'
"""


@pytest.fixture(scope="module")
def copied(databases: DatabaseServer, built_template: str) -> Iterator[Engine]:
    """The built corpus with sixty more copies of a document, and one in capitals."""
    with databases.copy(built_template) as url:
        engine = make_engine(url)
        change_database(engine, ADD_COPIES)
        change_database(engine, CAPITALS)
        yield engine
        engine.dispose()


@pytest.fixture(scope="module")
def retriever(copied: Engine) -> Retriever:
    return Retriever(copied, encoder=lambda space: HashEncoder())


def ids(answer: Answer) -> list[UUID]:
    return [hit.chunk_id for hit in answer.hits]


def places(hit: Hit) -> list[str]:
    return [f"{copy.project}/{copy.file_path}" for copy in hit.copies]


@pytest.mark.parametrize("mode", MODES)
def test_copies_do_not_fill_k_and_are_named(copied: Engine, retriever: Retriever, mode: Any) -> None:
    answer = retriever.search(COPIED, mode=mode, k=10)
    texts = [hit.text for hit in answer.hits]
    assert len(texts) == len(set(texts)) == 10
    first = answer.hits[0]
    assert first.text == COPIED
    stored = rows(copied, f"SELECT id FROM rag.document_chunks WHERE trim(lower(chunk_text)) = '{COPIED.lower()}'")
    assert {copy.chunk_id for copy in first.copies} | {first.chunk_id} == {id_ for (id_,) in stored}
    assert len(first.copies) >= 62
    everything = retriever.search(COPIED, mode=mode, k=10, distinct=False)
    assert {hit.text.strip().lower() for hit in everything.hits} == {COPIED.lower()}
    assert not any(hit.copies for hit in everything.hits)
    # Filters hide the names of copies that do not pass.
    only = retriever.search(COPIED, mode=mode, k=3, filters=Filters(projects="zoo", path_glob="copy*.txt"))
    assert [(hit.file_path, places(hit)) for hit in only.hits] == [("copy.txt", ["zoo/copy2.txt"])]
    [several] = retriever.search_many([COPIED], mode=mode, k=10)
    assert ids(several) == ids(answer)


def test_case_and_white_space_make_no_other_text(retriever: Retriever) -> None:
    for mode in MODES:
        found = retriever.search(COPIED, mode=mode, k=20)  # type: ignore[arg-type]
        [hit] = [hit for hit in found.hits if hit.text.strip().lower() == COPIED.lower()]
        assert "zoo/zoo.txt" in places(hit)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "options", [{}, {"distinct": False}, {"project": "zoo"}, {"exact": True}, {"ef_search": 20}], ids=str
)
def test_pages_follow_each_other(retriever: Retriever, mode: Any, options: dict[str, Any]) -> None:
    def page(k: int, offset: int = 0) -> list[Hit]:
        return retriever.search(QUESTION, mode=mode, k=k, offset=offset, **options).hits

    pages = [page(10, offset) for offset in range(0, 50, 10)]
    found = [hit.chunk_id for one in pages for hit in one]
    assert len(found) == len(set(found))
    assert [hit.chunk_id for hit in page(20)] == found[:20]
    assert [hit.rank for one in pages for hit in one] == list(range(1, len(found) + 1))
    # All that can be found is on some page.
    if len(found) < 50:
        assert {hit.chunk_id for hit in page(1_000)} == set(found)


@pytest.mark.parametrize("mode", MODES)
def test_pages_go_on_after_what_the_graph_gives(
    retriever: Retriever, monkeypatch: pytest.MonkeyPatch, mode: Any
) -> None:
    def pages() -> list[UUID]:
        found: list[UUID] = []
        while answer := ids(retriever.search(QUESTION, mode=mode, k=7, offset=len(found), distinct=False)):
            found += answer
        return found

    everything = pages()
    for module, name, value in ((nearest, "MAX_EF_SEARCH", 20), (modes, "MAX_HITS", 20)):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(modes, "HYBRID_DEPTHS", (20, 10_000))
    found = pages()
    assert len(found) == len(set(found)) > 50
    assert set(found) == set(everything)


def test_every_chunk_is_on_one_page(retriever: Retriever) -> None:
    count = retriever.search(QUESTION, mode="vector", k=1_000, distinct=False, exact=True)
    found: list[UUID] = []
    while answer := ids(retriever.search(QUESTION, mode="vector", k=30, offset=len(found), distinct=False)):
        found += answer
    assert sorted(found) == sorted(ids(count))


@pytest.mark.parametrize("more", [{"mmr": 0.5}, {"min_score": 0.0}, {"context": 1}, {"timeout_s": 30}], ids=str)
def test_other_options_have_pages_too(retriever: Retriever, more: dict[str, Any]) -> None:
    found = [ids(retriever.search(QUESTION, k=5, offset=offset, **more)) for offset in (0, 5, 10)]
    assert len({id_ for one in found for id_ in one}) == 15


def test_pages_that_are_too_deep_are_refused(retriever: Retriever) -> None:
    for options, said in (
        ({"offset": 9_995}, "offset 9995 and k 10 end at hit 10,005, and a search reaches the first 10,000"),
        ({"offset": -1}, "offset is -1; choose 0 to 9999"),
        ({"offset": "5"}, "offset is '5'"),
        ({"distinct": "no"}, "distinct is 'no'; choose True or False"),
    ):
        with pytest.raises(UsageError, match=said):
            retriever.search(QUESTION, **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="offset pages through one kind of texts"):
        retriever.search(QUESTION, kinds=["chunks", "memories"], offset=10)
