"""The live space is replaced while searches run: each is answered by one space alone."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, Engine

from rag_assets.db.connections.engines import make_async_engine
from rag_assets.db.index.build import ensure_index
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.retention import retire_space
from rag_assets.db.spaces.spaces import drop_retired_spaces, set_live_space
from rag_assets.db.writes.rows import EmbeddingRow
from rag_assets.db.writes.upserts import write_chunks, write_embeddings
from rag_assets.db.writes.word_statistics import refresh_word_statistics
from rag_assets.errors import ServiceError, UsageError
from rag_assets.search.async_retriever import AsyncRetriever
from rag_assets.search.execution import modes
from rag_assets.search.keyword import word_search
from rag_assets.search.results import Answer
from rag_assets.search.retriever import Retriever
from tests.support.data.vectors import DIMENSIONS, make_corpus
from tests.support.database.rows import create_space, definition, document, split_document, unit_vectors
from tests.support.fakes import HashEncoder
from tests.support.pipeline.runs import rows

PROMOTIONS = 4
QUESTION = "text 4"
OPTIONS: list[dict[str, Any]] = [
    {"mode": "vector"},
    {"mode": "vector", "k": 1000, "distinct": False},
    {"mode": "vector", "project": "q"},
    {"mode": "text"},
    {"mode": "hybrid", "k": 7},
    {"mode": "hybrid", "project": "p", "mmr": 0.5, "context": 1},
]


class Spaces:
    """A corpus of 30 documents whose live space is replaced by one with other chunks, vectors and dimensions."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        corpus = make_corpus(engine)
        self.live = corpus.space
        self.documents = {(one.project, one.file_path): one.document_id for one in corpus.chunks}
        self.hashes = dict(rows(engine, "SELECT id, content_hash FROM rag.documents"))
        self.chunks = {1: 0}
        self.number = 1
        refresh_word_statistics(engine, self.live.chunking)
        [(self.chunks[1],)] = rows(engine, "SELECT count(*) FROM rag.document_chunks")

    def next(self, *, drop: bool = True) -> EmbeddingSpace:
        """Build another space, promote it, and drop the old one with its chunks."""
        self.number += 1
        dimensions, chunking = DIMENSIONS + self.number, f"c{self.number}"
        space = create_space(
            self.engine, definition(f"f{self.number}", chunking=chunking, dimensions=dimensions, distance="cosine")
        )
        cut = []
        for project, path in self.documents:
            texts = [f"text {path} {project} {part} of {chunking}. " for part in range(2 + self.number % 3)]
            split = split_document(document(path, "".join(texts), project=project), texts, chunking=chunking)
            # As if it were a split of the text that is stored: others are out of date.
            cut.append(replace(split, content_hash=self.hashes[split.document_id]))
        hashes = [one.content_hash for whole in cut for one in whole.chunks]
        vectors = unit_vectors(len(hashes), dimensions, seed=self.number)
        with self.engine.begin() as connection:
            write_chunks(connection, chunking, cut)
            write_embeddings(connection, space.id, [EmbeddingRow(*pair) for pair in zip(hashes, vectors, strict=True)])
        ensure_index(self.engine, space)
        refresh_word_statistics(self.engine, chunking)
        self.chunks[space.id] = len(hashes)
        with self.engine.begin() as connection:
            set_live_space(connection, space)
        if drop:
            with self.engine.begin() as connection:
                retire_space(connection, self.live.id)
                drop_retired_spaces(connection)
                connection.exec_driver_sql("DELETE FROM rag.document_chunks WHERE chunking = %s", (self.live.chunking,))
        self.live = space
        return space

    def check(self, answer: Answer, options: dict[str, Any]) -> None:
        """All hits are chunks of one space, and as many as it has for the query."""
        chunking = f"c{answer.space}"
        assert answer.hits
        for hit in answer.hits:
            assert (f"of {chunking}." in hit.text) or (answer.space == 1 and " of c" not in hit.text)
        if options["mode"] != "text" and "project" not in options:
            assert len(answer.hits) == min(options.get("k", 10), self.chunks[answer.space])


@pytest.fixture
def spaces(engine: Engine) -> Spaces:
    return Spaces(engine)


def encoder(space: EmbeddingSpace) -> HashEncoder:
    return HashEncoder(space.dimensions)


def test_searches_follow_a_promotion_at_once(spaces: Spaces, engine: Engine) -> None:
    retriever = Retriever(engine, encoder=encoder)
    for _ in range(3):
        for options in OPTIONS:
            answer = retriever.search(QUESTION, **options)
            assert answer.space == spaces.live.id
            spaces.check(answer, options)
        spaces.next()
    assert {answer.space for answer in retriever.search_many([QUESTION, "text 5"])} == {spaces.live.id}
    assert retriever.search(np.ones(spaces.live.dimensions)).space == spaces.live.id
    # A vector with the dimensions of the new space is not refused because of the cached old one.
    wider = spaces.next()
    assert retriever.search(np.ones(wider.dimensions)).space == wider.id
    with pytest.raises(UsageError, match=f"the live space .* has {wider.dimensions}"):
        retriever.search(np.ones(DIMENSIONS))
    assert retriever.aggregate(to=QUESTION).chunks == spaces.chunks[wider.id]
    spaces.next()
    assert len(retriever.centroid()) == spaces.live.dimensions
    spaces.next()
    [hit, *_] = retriever.search(QUESTION).hits
    spaces.next(drop=False)
    # A chunk of the old space has no vector in the new one.
    with pytest.raises(UsageError, match="has no vector in space"):
        retriever.similar(hit.chunk_id)
    assert not retriever.explain_hit(hit.chunk_id).served


def test_searches_in_threads_are_not_disturbed_by_promotions(spaces: Spaces, engine: Engine) -> None:
    retriever = Retriever(engine, encoder=encoder)
    done = threading.Event()
    answers: list[list[Answer]] = [[] for _ in OPTIONS]
    errors: list[Exception] = []

    def search(number: int) -> None:
        while not done.is_set():
            try:
                answer = retriever.search(f"{QUESTION} {len(answers[number]) % 5}", **OPTIONS[number])
                spaces.check(answer, OPTIONS[number])
                answers[number].append(answer)
            except Exception as error:
                errors.append(error)
                return

    threads = [threading.Thread(target=search, args=(number,)) for number in range(len(OPTIONS))]
    for thread in threads:
        thread.start()
    for number in range(PROMOTIONS + 1):
        # Every search has reached the current space before the next promotion.
        while not all(found and found[-1].space == spaces.live.id for found in answers) and not errors:
            time.sleep(0.01)
        if number < PROMOTIONS:
            spaces.next()
    done.set()
    for thread in threads:
        thread.join(timeout=60)
    assert errors == []
    saw_each_in_turn(answers)


def saw_each_in_turn(answers: list[list[Answer]]) -> None:
    for found in answers:
        seen = [answer.space for answer in found]
        assert seen == sorted(seen)
        assert set(seen) == set(range(1, PROMOTIONS + 2))


def test_searches_in_an_event_loop_are_not_disturbed_by_promotions(spaces: Spaces, engine: Engine) -> None:
    async def use() -> list[list[Answer]]:
        asynchronous = make_async_engine(engine.url)
        retriever = AsyncRetriever(asynchronous, encoder=encoder)
        done = asyncio.Event()

        answers: list[list[Answer]] = [[] for _ in OPTIONS]

        async def search(found: list[Answer], options: dict[str, Any]) -> None:
            while not done.is_set():
                found.append(await retriever.search(f"{QUESTION} {len(found) % 5}", **options))
                spaces.check(found[-1], options)

        async def promote_repeatedly() -> None:
            for number in range(PROMOTIONS + 1):
                while not all(found and found[-1].space == spaces.live.id for found in answers):
                    await asyncio.sleep(0.01)
                if number < PROMOTIONS:
                    await asyncio.to_thread(spaces.next)
            done.set()

        try:
            async with asyncio.TaskGroup() as group:
                for pair in zip(answers, OPTIONS, strict=True):
                    group.create_task(search(*pair))
                group.create_task(promote_repeatedly())
        finally:
            await asynchronous.dispose()
        return answers

    saw_each_in_turn(asyncio.run(use()))


def promote_after(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, promote: Callable[[], Any]
) -> list[str]:
    """Replace the space right after the first call of this step of a search."""
    step = getattr(module, name)
    promoted: list[str] = []

    def once(connection: Connection, *given: Any, **options: Any) -> Any:
        found = step(connection, *given, **options)
        if not promoted:
            promoted.append(name)
            promote()
        return found

    monkeypatch.setattr(module, name, once)
    return promoted


@pytest.mark.parametrize(
    ("module", "step", "options"),
    [
        (modes, "search_nearest", {"mode": "hybrid", "k": 40, "distinct": False}),
        (modes, "search_distinct", {"mode": "hybrid", "k": 40}),
        (word_search, "search_keywords", {"mode": "hybrid", "k": 40}),
        (word_search, "search_keywords", {"mode": "text", "k": 40}),
        (modes, "search_distinct", {"mode": "vector", "k": 5}),
    ],
)
def test_a_promotion_between_two_statements_of_a_search_does_not_mix_spaces(
    spaces: Spaces,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    step: str,
    options: dict[str, Any],
) -> None:
    retriever = Retriever(engine, encoder=encoder)
    expected = retriever.search(QUESTION, **options)
    promoted = promote_after(monkeypatch, module, step, lambda: spaces.next(drop=False))
    answer = retriever.search(QUESTION, **options)
    assert promoted == [step]
    # All statements of the search saw the same snapshot.
    assert answer.hits == expected.hits
    assert retriever.search(QUESTION, **options).space == spaces.live.id


def test_a_promotion_while_the_model_runs_is_followed(spaces: Spaces, engine: Engine) -> None:
    asked: list[int] = []

    class Slow(HashEncoder):
        def encode_query(self, text: str) -> Any:
            asked.append(self.dimensions)
            if len(asked) == 1:
                spaces.next()
            return super().encode_query(text)

    for options in OPTIONS[:1] + OPTIONS[4:]:
        asked.clear()
        retriever = Retriever(engine, encoder=lambda space: Slow(space.dimensions))
        answer = retriever.search("never asked before " + str(options), **options)
        assert answer.space == spaces.live.id
        spaces.check(answer, options)
        assert len(asked) == 2


def test_an_error_says_that_no_space_is_live_any_more(spaces: Spaces, engine: Engine) -> None:
    retriever = Retriever(engine, encoder=encoder)
    retriever.search(QUESTION)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE rag.embedding_spaces SET status = 'retired'")
        connection.exec_driver_sql("DROP VIEW rag.live_chunks")
    calls: Sequence[Callable[[], Any]] = [lambda o=options: retriever.search(QUESTION, **o) for options in OPTIONS]
    for call in calls:
        with pytest.raises(ServiceError, match="no space is live"):
            call()
    with engine.begin() as connection:
        drop_retired_spaces(connection)
    for call in calls:
        with pytest.raises(ServiceError, match="no space is live"):
            call()
    # The same retriever works again with the next space.
    spaces.next(drop=False)
    assert retriever.search(QUESTION).space == spaces.live.id
