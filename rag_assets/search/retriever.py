"""Search: a query in, the chunks that answer it out, with all that a citation needs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload
from uuid import UUID

from sqlalchemy import Engine

from rag_assets.db.access.viewer import Viewer
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.registered_tables import registered_kinds
from rag_assets.errors import UsageError
from rag_assets.search.analysis.aggregates import Aggregate, answer_aggregate
from rag_assets.search.analysis.centroid import answer_centroid
from rag_assets.search.analysis.chunk_selection import parse_chunk_id, parse_document_key
from rag_assets.search.analysis.provenance import Provenance, answer_provenance
from rag_assets.search.analysis.similar import answer_similar
from rag_assets.search.execution.concurrency import Concurrency
from rag_assets.search.execution.executor import SearchContext, SearchExecutor
from rag_assets.search.execution.live_space import LiveSpaceCache
from rag_assets.search.execution.query_embedding import MakeEncoder, QueryEmbedder
from rag_assets.search.execution.read_session import ReadSession
from rag_assets.search.ranking.rerank import Reranker, reranker_from_settings
from rag_assets.search.request import (
    SELECTION_OPTIONS,
    SIMILAR_OPTIONS,
    Options,
    Query,
    make_request,
    make_selection,
)
from rag_assets.search.results import Answer
from rag_assets.search.vector.selectivity import SelectivityCache
from rag_assets.settings.settings import Settings
from rag_assets.validation import format_value

if TYPE_CHECKING:
    # Imported by the first such search: the pipeline needs neither them nor what they import.
    from rag_assets.db.spaces.text_kinds import Kind
    from rag_assets.search.kinds.dispatch import AnyAnswer, MixedAnswer
    from rag_assets.search.kinds.memories import MemoryAnswer, MemoryOptions
    from rag_assets.search.kinds.messages import MessageAnswer, MessageOptions
    from rag_assets.search.kinds.tables import TableAnswer, TableOptions


class Retriever:
    """Searches the live space of a database, from any number of threads.

    - `engine`: best `shared_engine(settings, "read")`.
    - `ef_search`: for searches that name none; unset, that of the settings, else the space's own.
    - `encoder`: makes the model that embeds queries; unset, the space's own model. It is loaded by the first query.
    - `reranker`: for searches that ask to rerank; unset, that of the settings.
    - `space`: search chunks in this space, whichever is live.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings | None = None,
        *,
        ef_search: int | None = None,
        encoder: MakeEncoder | None = None,
        reranker: Reranker | None = None,
        concurrency: Concurrency | None = None,
        space: EmbeddingSpace | None = None,
        viewer: Viewer | None = None,
    ) -> None:
        concurrency = concurrency or Concurrency()
        if settings is not None:
            ef_search = ef_search or settings.ef_search
            reranker = reranker or (reranker_from_settings(settings) if settings.reranker else None)
        session = ReadSession(engine, concurrency, viewer)
        embedder = QueryEmbedder(session, concurrency, encoder, settings)
        chunks = LiveSpaceCache(session, space=space)
        self._context = SearchContext(session, chunks, embedder, SelectivityCache(), ef_search)
        self._messages = replace(self._context, live=LiveSpaceCache(session, "messages"))
        self._memories = replace(self._context, live=LiveSpaceCache(session, "memories"))
        self._tables: dict[str, SearchContext] = {}
        self._executor = SearchExecutor(self._context, concurrency, reranker)

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
        """The best chunks for a text or a vector, best first; see `Options`.

        `kinds`: "messages", "memories" or a registered table searches these instead, as `search_messages`,
        `search_memories` and `search_table` do. Several kinds together give a `MixedAnswer`; an option is passed to the
        kinds that have it.

        Raises UsageError for a query or an option that cannot be used (an empty text, k outside 1..1000, an unknown
        project, a vector of another size, a wrong filter), and ServiceError while no space is live, while the database
        does not answer, and when the search takes longer than it may.
        """
        if isinstance(kinds, str) and kinds == "chunks":
            return self._context.live.run(self._executor.answer, [make_request(query, options)])[0]
        if self._context.session.viewer is not None:
            raise UsageError("a principal searches documents only; search messages, memories and tables without one.")
        from rag_assets.search.kinds.dispatch import search_kinds

        searches: dict[Kind, Callable[..., AnyAnswer]] = {
            "chunks": partial(self.search, query),
            "messages": partial(self.search_messages, query),
            "memories": partial(self.search_memories, query),
            **{kind: partial(self.search_table, kind, query) for kind in registered_kinds()},
        }
        return search_kinds(searches, kinds, options)

    def search_many(self, queries: Iterable[Query], **options: Unpack[Options]) -> list[Answer]:
        """The answers to several queries with the same options, in their order; in one round trip where possible.

        `took_ms` of each is its share of the database's time. Raises what `search` does, for the first wrong query;
        then none is answered.
        """
        if isinstance(queries, str | bytes | Mapping) or not isinstance(queries, Iterable):
            raise UsageError(f"search_many takes a list of texts or vectors, not {format_value(queries)}.")
        requests = [make_request(query, options) for query in queries]
        return self._context.live.run(self._executor.answer, requests) if requests else []

    def similar(
        self,
        chunk_id: UUID | None = None,
        *,
        document: tuple[str, str] | None = None,
        equal_texts: bool = False,
        **options: Unpack[Options],
    ) -> Answer:
        """The chunks most similar to a chunk, or to the average of a `document`, given as (project, file path).

        Leaves out the chunk or the document itself, and chunks with the very same text unless `equal_texts`. Takes the
        options that need no query: the filters, k, min_score, distance, exact, ef_search, mmr, context, timeout_s.
        Raises what `search` does, and UsageError for an unknown chunk or document, and for one without a vector.
        """
        request = make_selection("similar", options, SIMILAR_OPTIONS)
        if (chunk_id is None) == (document is None):
            raise UsageError("similar takes a chunk's id, or document=(project, file path): one of the two.")
        target = parse_chunk_id(chunk_id) if document is None else parse_document_key(document)
        return self._context.live.run(answer_similar, self._executor, request, target, equal_texts)

    def centroid(self, *, document: tuple[str, str] | None = None, **options: Unpack[Options]) -> list[float]:
        """The average vector of the chunks that pass the filters, or of one document's, given as (project, file path).

        Its length is 1 where the space compares by cosine. Takes the filters and timeout_s as options. Raises what
        `search` does, and UsageError where there is nothing to average.
        """
        request = make_selection("centroid", options, SELECTION_OPTIONS)
        target = None if document is None else parse_document_key(document)
        return self._context.live.run(answer_centroid, self._context, request, target)

    def aggregate(
        self, *, to: Query | None = None, nearest: int = 10, buckets: int = 20, **options: Unpack[Options]
    ) -> Aggregate:
        """Counts, the average vector and the distribution of the chunks that pass the filters; see `Aggregate`.

        `to`: a text or a vector to measure distances to; unset, the average. `nearest`: documents to return, 0 to
        1000. `buckets`: of the histogram, 1 to 1000. Takes the filters and timeout_s as options. Raises what `search`
        does.
        """
        request = make_selection("aggregate", options, SELECTION_OPTIONS)
        reference = None if to is None else make_request(to, {"mode": "vector"})
        return self._context.live.run(answer_aggregate, self._context, request, reference, nearest, buckets)

    def explain_hit(self, chunk_id: UUID) -> Provenance:
        """Where a hit comes from: its source and version, offsets, hash, space, model, and the runs that wrote it.

        Raises UsageError for an id that no chunk has.
        """
        return self._context.live.run(answer_provenance, self._context.session, parse_chunk_id(chunk_id))

    def warm_up(self) -> None:
        """Load the live space's model now, so that the first search does not wait for it.

        Raises ServiceError while no space is live, and where the model cannot be loaded.
        """
        self._context.live.run(self._context.embedder.warm_up)

    def query_vectors(self) -> dict[str, int]:
        """How many vectors of query texts came from memory, from the database, and from the model."""
        return dict(self._context.embedder.sources)

    def search_messages(self, query: Query, **options: Unpack["MessageOptions"]) -> "MessageAnswer":
        """The messages nearest to a text or a vector, best first; see `MessageOptions`.

        Raises what `search` does, and UsageError for an unknown or deleted conversation.
        """
        from rag_assets.search.kinds.messages import search_messages

        return search_messages(self._messages, query, options)

    def search_memories(self, query: Query, **options: Unpack["MemoryOptions"]) -> "MemoryAnswer":
        """The memories with the highest `recall` score for a text or a vector, best first; see `MemoryOptions`.

        Unlike `recall`, it does not record that they were recalled. Raises what `search` does.
        """
        from rag_assets.search.kinds.memories import search_memories

        return search_memories(self._memories, query, options)

    def search_table(self, kind: str, query: Query, **options: Unpack["TableOptions"]) -> "TableAnswer":
        """The rows of a registered table that are nearest to a text or a vector, best first; see `TableOptions`.

        Raises what `search` does, and UsageError for an unknown table or column.
        """
        from rag_assets.search.kinds.tables import search_table

        if kind not in self._tables:
            live = LiveSpaceCache(self._context.session, kind)
            self._tables[kind] = replace(self._context, live=live)
        return search_table(self._tables[kind], kind, query, options)
