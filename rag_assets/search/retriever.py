"""Search: a question in, the chunks that answer it out, with all that a citation needs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload
from uuid import UUID

from sqlalchemy import Connection, Engine

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.registered_tables import registered_kinds
from rag_assets.errors import UsageError
from rag_assets.search.analysis.aggregates import Aggregate, aggregate, centroid
from rag_assets.search.analysis.chunk_selection import as_id, as_pair, find_document
from rag_assets.search.analysis.provenance import Provenance, explain_chunk
from rag_assets.search.analysis.similar import similar_to_chunk, similar_to_document
from rag_assets.search.execution.concurrency import Waiting
from rag_assets.search.execution.executor import Answering
from rag_assets.search.execution.live_space import Live
from rag_assets.search.execution.query_embedding import Asking, MakeEncoder
from rag_assets.search.execution.read_session import Reader
from rag_assets.search.ranking.rerank import Reranker, reranker_from_settings
from rag_assets.search.request import CHOOSING, LIKENESS, Options, Query, check_options, make_request
from rag_assets.search.results import Answer
from rag_assets.search.vector.nearest import Nearest
from rag_assets.search.vector.selectivity import Counts
from rag_assets.settings.settings import Settings
from rag_assets.validation import format_value

if TYPE_CHECKING:
    # Imported by the first such search: the pipeline has no use for them, and for what they import.
    from rag_assets.db.spaces.text_kinds import Kind
    from rag_assets.search.kinds.dispatch import AnyAnswer, MixedAnswer
    from rag_assets.search.kinds.memories import MemoryAnswer, MemoryOptions
    from rag_assets.search.kinds.messages import MessageAnswer, MessageOptions
    from rag_assets.search.kinds.tables import TableAnswer, TableOptions


class Retriever:
    """Searches the live space of a database, from any number of threads.

    A question is embedded by the live space's own model, which is loaded by the first one. The engine that serves
    best is `shared_engine(settings, "read")`. `ef_search` is for searches that name none, unset the space's own;
    `reranker` for those that ask to rerank; `settings`, where they are given, say both unless they are given too. With
    a `space`, chunks are searched in that one, whichever is live.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings | None = None,
        *,
        ef_search: int | None = None,
        encoder: MakeEncoder | None = None,
        reranker: Reranker | None = None,
        waiting: Waiting | None = None,
        space: EmbeddingSpace | None = None,
    ) -> None:
        waiting = waiting or Waiting()
        if settings is not None:
            ef_search = ef_search or settings.ef_search
            reranker = reranker or (reranker_from_settings(settings) if settings.reranker else None)
        self._reader = Reader(engine, waiting)
        self._live = Live(self._reader, space=space)
        self._live_messages = Live(self._reader, "messages")
        self._live_memories = Live(self._reader, "memories")
        self._live_tables: dict[str, Live] = {}
        self._asking = Asking(self._reader, waiting, encoder)
        self._counts = Counts()
        self._ef_search = ef_search
        self._answering = Answering(
            self._reader,
            waiting,
            self._live,
            self._asking,
            self._counts,
            ef_search=ef_search,
            reranker=reranker,
        )

    @overload
    def search(self, query: Query, *, kinds: Literal["chunks"] = ..., **options: Unpack[Options]) -> Answer: ...

    @overload
    def search(
        self, query: Query, *, kinds: Literal["messages"], **options: Unpack["MessageOptions"]
    ) -> "MessageAnswer": ...

    @overload
    def search(
        self, query: Query, *, kinds: Literal["memories"], **options: Unpack["MemoryOptions"]
    ) -> "MemoryAnswer": ...

    @overload
    def search(self, query: Query, *, kinds: "Sequence[Kind]", **options: Any) -> "AnyAnswer | MixedAnswer": ...

    def search(self, query: Query, *, kinds: Any = "chunks", **options: Any) -> Any:
        """The best chunks for a question or a vector, best first; see `Options`.

        Of other `kinds` (messages, memories, a registered table), what `search_messages`, `search_memories` and
        `search_table` find; of several together,
        the best of each in turn (see `MixedAnswer`), and an option goes to the kinds that know it.

        Raises UsageError for what cannot be asked (an empty question, k outside 1..1000, an unknown project, a
        vector of another size, a bad filter), and ServiceError while no space is live, while the database is away,
        or when the search took longer than it may.
        """
        if isinstance(kinds, str) and kinds == "chunks":
            return self.search_many([query], **options)[0]
        from rag_assets.search.kinds.dispatch import search_kinds

        ways: dict[Kind, Callable[..., AnyAnswer]] = {
            "chunks": partial(self.search, query),
            "messages": partial(self.search_messages, query),
            "memories": partial(self.search_memories, query),
            **{kind: partial(self.search_table, kind, query) for kind in registered_kinds()},
        }
        return search_kinds(ways, kinds, options)

    def search_many(self, queries: Iterable[Query], **options: Unpack[Options]) -> list[Answer]:
        """The answers to several questions, with the same options for all: in one round trip where it can be.

        `took_ms` of each is its share of the database's time. Raises what `search` does, for all or for none.
        """
        if isinstance(queries, str | bytes | Mapping) or not isinstance(queries, Iterable):
            raise UsageError(f"search_many wants a list of questions or vectors, not {format_value(queries)}.")
        requests = [make_request(query, options) for query in queries]
        return self._live.run(lambda space: self._answering.answers(space, requests)) if requests else []

    def similar(
        self,
        chunk_id: UUID | None = None,
        *,
        document: tuple[str, str] | None = None,
        equal_texts: bool = False,
        **options: Unpack[Options],
    ) -> Answer:
        """More like this: the chunks nearest to a chunk, or to the average of a `document` (project, file path).

        What is asked for is left out, and so are chunks of the very same text unless `equal_texts`. Of the options,
        those that need no question are taken: k, filters, min_score, distance, exact, ef_search, mmr, context,
        timeout_s. Raises UsageError for a chunk or a document that there is not, or that has no vector.
        """
        check_options("similar", options, LIKENESS)
        if (chunk_id is None) == (document is None):
            raise UsageError("similar wants a chunk's id, or document=(project, file path): one of the two.")
        request = make_request((1.0,), options)

        def nearest(connection: Connection, space: EmbeddingSpace) -> Nearest:
            like = (
                partial(similar_to_chunk, connection, space, as_id(chunk_id))
                if document is None
                else partial(similar_to_document, connection, space, find_document(connection, *as_pair(document)))
            )
            return like(
                k=request.deep,
                filters=request.filters,
                equal_texts=equal_texts,
                counts=self._counts,
                ef_search=self._answering.graph_width(space, request),
                distance=request.distance,
                exact=request.exact,
            )

        return self._live.run(lambda space: self._answering.similar(space, request, nearest))

    def centroid(self, *, document: tuple[str, str] | None = None, **options: Unpack[Options]) -> list[float]:
        """The average vector of the chunks that the filters leave, or of one document's (project, file path).

        Of length 1 where the space compares by cosine. Of the options, filters and timeout_s are taken. Raises
        UsageError where there is nothing to average.
        """
        check_options("centroid", options, CHOOSING)
        request = make_request((1.0,), options)

        def work(connection: Connection, space: EmbeddingSpace) -> list[float]:
            document_id = None if document is None else find_document(connection, *as_pair(document))
            return centroid(connection, space, request.filters, document_id=document_id)

        return self._live.run(lambda space: self._answering.in_transaction(space, request, work))

    def aggregate(
        self, *, to: Query | None = None, nearest: int = 10, buckets: int = 20, **options: Unpack[Options]
    ) -> Aggregate:
        """What the chunks that the filters leave have in common; see `Aggregate`.

        `to`: a question or a vector that distances are measured to; unset, the chunks' own average. Of the options,
        filters and timeout_s are taken.
        """
        check_options("aggregate", options, CHOOSING)
        request = make_request((1.0,) if to is None else to, {**options, "mode": "vector"})

        def run(space: EmbeddingSpace) -> Aggregate:
            vector = None if to is None else self._asking.vector(self._live, space, request)[0]

            def work(connection: Connection, space: EmbeddingSpace) -> Aggregate:
                return aggregate(connection, space, request.filters, to=vector, nearest=nearest, buckets=buckets)

            return self._answering.in_transaction(space, request, work)

        return self._live.run(run)

    def explain_hit(self, chunk_id: UUID) -> Provenance:
        """Where a hit comes from: source and version, offsets, hash, space, model, and the runs that wrote it.

        Raises UsageError for an id that no chunk has.
        """
        wanted = as_id(chunk_id)
        return self._live.run(lambda _: self._reader.read(lambda connection: explain_chunk(connection, wanted)))

    def search_messages(self, query: Query, **options: Unpack["MessageOptions"]) -> "MessageAnswer":
        """The messages nearest to a question or a vector, best first: of all, a user, a conversation, a project.

        Raises what `search` does; an unknown or deleted conversation is a UsageError.
        """
        from rag_assets.search.kinds.messages import search_messages

        return search_messages(
            self._reader,
            self._asking,
            self._live_messages,
            self._counts,
            query,
            options,
            ef_search=self._ef_search,
        )

    def search_memories(self, query: Query, **options: Unpack["MemoryOptions"]) -> "MemoryAnswer":
        """The memories that serve best for a question or a vector, as `recall` weighs them, which notes it; this not.

        Raises what `search` does.
        """
        from rag_assets.search.kinds.memories import search_memories

        return search_memories(self._reader, self._asking, self._live_memories, query, options)

    def search_table(self, kind: str, query: Query, **options: Unpack["TableOptions"]) -> "TableAnswer":
        """The rows of a registered table that are nearest to a query, best first; see `TableOptions`.

        Raises what `search` does; an unknown table or column is a UsageError.
        """
        from rag_assets.search.kinds.tables import search_table

        live = self._live_tables.setdefault(kind, Live(self._reader, kind))
        return search_table(
            kind, self._reader, self._asking, live, self._counts, query, options, ef_search=self._ef_search
        )
