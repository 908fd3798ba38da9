"""Search: a question in, the chunks that answer it out, with all that a citation needs."""

import time
from collections.abc import Iterable, Sequence
from typing import Unpack

from sqlalchemy import Connection, Engine

from rag_assets.db.models import EmbeddingSpace
from rag_assets.errors import UsageError
from rag_assets.search.answers import Answer, Hit
from rag_assets.search.context import contexts
from rag_assets.search.diversity import diversify
from rag_assets.search.finding import Candidate, Found, find_all
from rag_assets.search.live import Live
from rag_assets.search.nearest import Counts
from rag_assets.search.query_vectors import MakeEncoder, QueryVectors
from rag_assets.search.reading import Reader
from rag_assets.search.request import Options, Query, Request, make_request
from rag_assets.search.waiting import Waiting


class Retriever:
    """Searches the live space of a database, from any number of threads.

    A question is embedded by the live space's own model, which is loaded by the first one. The engine that serves
    best is `shared_engine(settings, "read")`. `ef_search` is for searches that name none, unset the space's own.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        ef_search: int | None = None,
        encoder: MakeEncoder | None = None,
        waiting: Waiting | None = None,
    ) -> None:
        self._waiting = waiting or Waiting()
        self._reader = Reader(engine, self._waiting)
        self._live = Live(self._reader)
        self._vectors = QueryVectors(encoder)
        self._counts = Counts()
        self._ef_search = ef_search

    def search(self, query: Query, **options: Unpack[Options]) -> Answer:
        """The best chunks for a question or a vector, best first; see `Options`.

        Raises UsageError for what cannot be asked (an empty question, k outside 1..1000, an unknown project, a
        vector of another size, a bad filter), and ServiceError while no space is live, while the database is away,
        or when the search took longer than it may.
        """
        return self.search_many([query], **options)[0]

    def search_many(self, queries: Iterable[Query], **options: Unpack[Options]) -> list[Answer]:
        """The answers to several questions, with the same options for all: in one round trip where it can be.

        `took_ms` of each is its share of the database's time. Raises what `search` does, for all or for none.
        """
        requests = [make_request(query, options) for query in queries]
        return self._live.run(lambda space: self._answers(space, requests)) if requests else []

    def _answers(self, space: EmbeddingSpace, requests: Sequence[Request]) -> list[Answer]:
        first = requests[0]
        if first.filters.projects:
            self._reader.read(lambda connection: self._live.check_projects(connection, first.filters.projects))
        embedded = [self._vector(space, request) for request in requests]
        ef_search = min(1000, max(first.deep, first.ef_search or self._ef_search or space.ef_search))

        def search(connection: Connection) -> list[Found]:
            found = find_all(connection, space, requests, [vector for vector, _ in embedded], ef_search, self._counts)
            if not all(one.candidates for one in found):
                self._live.confirm(connection, space)
            return found

        started = time.perf_counter()
        found = self._reader.read(search, timeout_s=first.timeout_s, transaction=not first.is_plain)
        took_ms = (time.perf_counter() - started) * 1000 / len(requests)
        answers = []
        for request, one, (_, embedding_ms) in zip(requests, found, embedded, strict=True):
            finishing = time.perf_counter()
            chosen, surroundings = self._finish(space, request, one.candidates)
            answers.append(
                Answer(
                    query=request.text,
                    mode=request.mode,
                    space=space.id,
                    hits=[_hit(rank, hit, surroundings) for rank, hit in enumerate(chosen, start=1)],
                    took_ms=round(took_ms + (time.perf_counter() - finishing) * 1000, 2),
                    embedding_ms=round(embedding_ms, 2),
                    plan=one.plan,
                    considered=one.considered,
                    ef_search=ef_search if "index" in one.plan else None,
                )
            )
        return answers

    def _finish(
        self, space: EmbeddingSpace, request: Request, candidates: list[Candidate]
    ) -> tuple[list[Candidate], dict[object, str]]:
        """The k hits that are shown, and the text around each where that was asked for."""
        if request.mmr is None and not request.context:
            return candidates[: request.k], {}

        def work(connection: Connection) -> tuple[list[Candidate], dict[object, str]]:
            chosen = candidates[: request.k]
            if request.mmr is not None:
                scored = [(one.score, one) for one in candidates]
                diverse = diversify(
                    connection,
                    space,
                    scored,
                    k=request.k,
                    balance=request.mmr,
                    chunk_id=lambda one: one.row.chunk_id,
                )
                chosen = [one for _, one in diverse]
            if not request.context:
                return chosen, {}
            around = contexts(connection, [one.row.chunk_id for one in chosen], request.context)
            return chosen, {id_: context.text for id_, context in around.items()}

        return self._reader.read(work, timeout_s=request.timeout_s, transaction=True)

    def _vector(self, space: EmbeddingSpace, request: Request) -> tuple[str, float]:
        """The question's vector as pgvector writes it, and the milliseconds that it took."""
        if request.vector is not None:
            if len(request.vector) != space.dimensions:
                raise UsageError(
                    f"the vector has {len(request.vector)} dimensions, but the live space ({space.model}) has "
                    f"{space.dimensions}; embed the question with that model."
                )
            return str(list(request.vector)), 0.0
        if request.mode == "text":
            return "", 0.0
        started = time.perf_counter()
        question = request.text
        vector = self._vectors.remembered(space, question) or self._reader.read(
            lambda connection: self._vectors.stored(connection, space, question)
        )
        if vector is None:
            made = self._waiting.run(self._vectors.embed, space, question)
            self._reader.read(lambda connection: self._vectors.store(connection, space, question, made))
            vector = made
        return vector, (time.perf_counter() - started) * 1000


def _hit(rank: int, one: Candidate, surroundings: dict[object, str]) -> Hit:
    row = one.row
    return Hit(
        rank=rank,
        score=round(one.score, 6),
        project=row.project,
        file_path=row.file_path,
        title=row.title,
        chunk_id=row.chunk_id,
        chunk_index=row.chunk_index,
        heading_path=row.heading_path,
        char_start=row.char_start,
        char_end=row.char_end,
        text=row.chunk_text,
        document_id=row.document_id,
        file_type=row.file_type,
        source_version=row.source_version,
        parts={name: round(value, 6) for name, value in one.parts.items()},
        context=surroundings.get(row.chunk_id),
    )
