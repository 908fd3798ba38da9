"""The vectors of queries: embedded once by the space's own model, then kept in memory and in the database."""

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from hashlib import sha256

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import Connection, Text, cast, func, literal, select, true
from sqlalchemy.dialects.postgresql import insert

from rag_assets.db.index.knn import materialize
from rag_assets.db.models import EmbeddingSpace, QueryVector
from rag_assets.db.spaces.vector_codec import PackedVector
from rag_assets.embedding.encoder import Encoder, encode_queries_within, encode_query_within, get_space_encoder
from rag_assets.embedding.remote.names import is_remote
from rag_assets.errors import ServiceError, UsageError
from rag_assets.search.execution.concurrency import Concurrency
from rag_assets.search.execution.live_space import LiveSpaceCache
from rag_assets.search.execution.read_session import ReadSession
from rag_assets.search.request import SearchRequest
from rag_assets.settings.settings import Settings

MAX_CACHED = 1_000
# What a query's vector depends on.
_QUERY_ENCODING = ("model", "revision", "dimensions", "normalize", "prompts")
WARM_UP_TEXT = "warm up"

MakeEncoder = Callable[[EmbeddingSpace], Encoder]


class QueryEmbedder:
    """Embeds each text at most once for a space; a space's model is loaded by the first text that needs it."""

    def __init__(
        self,
        session: ReadSession,
        concurrency: Concurrency,
        make_encoder: MakeEncoder | None,
        settings: Settings | None = None,
    ) -> None:
        self._session = session
        self._concurrency = concurrency
        self._make_encoder = make_encoder or (lambda space: get_space_encoder(space, settings))
        self._encoders: dict[int, Encoder] = {}
        # How many vectors of texts came from where.
        self.sources: Counter[str] = Counter()
        self._cache: OrderedDict[tuple[int, str], PackedVector] = OrderedDict()
        # False once the database has refused to store a vector.
        self._stores = True

    def embed(self, space: EmbeddingSpace, request: SearchRequest, live: LiveSpaceCache) -> tuple[PackedVector, float]:
        """The vector of the query, and the milliseconds that embedding it took."""
        if request.vector is not None:
            try:
                return pack_vector(space, request.vector, request.distance or space.distance), 0.0
            except UsageError:
                # It may fit another space, which has replaced this one.
                self._session.read(live.confirm, space, as_owner=True)
                raise
        started = time.perf_counter()
        text = request.text
        vector, source = self._cache.get((space.id, text)), "memory"
        if vector is None:
            vector, source = self._session.read(self._load, space, text, as_owner=True), "database"
        if vector is None:
            source = "model"
            run = self._concurrency.run_waiting if is_remote(space.model) else self._concurrency.run_blocking
            vector = run(self._encode, space, text, request.timeout_s)
            if self._stores:
                self._stores = self._session.attempt(self._store, space, text, vector)
        self.sources[source] += 1
        return vector, (time.perf_counter() - started) * 1000

    def embed_ahead(self, space: EmbeddingSpace, requests: Sequence[SearchRequest]) -> None:
        """Embed the texts of several requests together, where each of them would be a round trip to a model."""
        if len(requests) < 2 or not is_remote(space.model):
            return
        texts = dict.fromkeys(one.text for one in requests if one.vector is None and one.mode != "text")
        new = [
            text
            for text in list(texts)[:MAX_CACHED]
            if (space.id, text) not in self._cache
            and self._session.read(self._load, space, text, as_owner=True) is None
        ]
        if len(new) < 2:
            return
        vectors = self._concurrency.run_waiting(self._encode_all, space, new, requests[0].timeout_s)
        self.sources["model"] += len(new)
        for text, vector in zip(new, vectors, strict=True):
            if self._stores:
                self._stores = self._session.attempt(self._store, space, text, vector)

    def warm_up(self, space: EmbeddingSpace) -> None:
        """Load the model, and embed a text that is not stored in the database. Nothing is asked of a model by HTTP."""
        if not is_remote(space.model) and (space.id, WARM_UP_TEXT) not in self._cache:
            self._concurrency.run_blocking(self._encode, space, WARM_UP_TEXT, None)

    def _load(self, connection: Connection, space: EmbeddingSpace, text: str) -> PackedVector | None:
        """The vector of a text that some process searched for before."""
        stored = select(QueryVector.embedding).where(QueryVector.query_hash == _hash(text))
        if is_remote(space.model):
            # Each query is paid once: spaces that embed it alike share its vector.
            alike = [getattr(EmbeddingSpace, name) == getattr(space, name) for name in _QUERY_ENCODING]
            stored = stored.join(EmbeddingSpace, EmbeddingSpace.id == QueryVector.space_id).where(*alike).limit(1)
        else:
            stored = stored.where(QueryVector.space_id == space.id)
        vector = connection.scalar(stored)
        return None if vector is None else self._remember(space, text, PackedVector.of(vector))

    def _encode(self, space: EmbeddingSpace, text: str, timeout_s: float | None) -> PackedVector:
        return self._pack(space, text, encode_query_within(self._encoder(space), text, timeout_s).tolist())

    def _encode_all(self, space: EmbeddingSpace, texts: Sequence[str], timeout_s: float | None) -> list[PackedVector]:
        vectors = encode_queries_within(self._encoder(space), texts, timeout_s).tolist()
        return [self._pack(space, text, numbers) for text, numbers in zip(texts, vectors, strict=True)]

    def _encoder(self, space: EmbeddingSpace) -> Encoder:
        return self._encoders.get(space.id) or self._encoders.setdefault(space.id, self._make_encoder(space))

    def _pack(self, space: EmbeddingSpace, text: str, numbers: list[float]) -> PackedVector:
        try:
            vector = pack_vector(space, numbers, space.distance)
        except UsageError as error:
            raise ServiceError(f"{space.model} returned a vector that cannot be searched for: {error}") from None
        return self._remember(space, text, vector)

    def _store(self, connection: Connection, space: EmbeddingSpace, text: str, vector: PackedVector) -> None:
        """Store the vector for other processes; of the text only its hash is stored."""
        # A lost vector is embedded again, and the disk may take seconds while an index is built.
        unsynced = select(func.set_config("synchronous_commit", "off", true())).cte("unsynced")
        embedding = cast(literal(str(vector), Text), VECTOR())
        row = select(literal(space.id), literal(_hash(text)), embedding).select_from(materialize(unsynced))
        statement = insert(QueryVector).from_select(["space_id", "query_hash", "embedding"], row)
        connection.execute(statement.on_conflict_do_nothing())

    def _remember(self, space: EmbeddingSpace, text: str, vector: PackedVector) -> PackedVector:
        self._cache[(space.id, text)] = vector
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)
        return vector


def pack_vector(space: EmbeddingSpace, numbers: Sequence[float] | PackedVector, distance: str) -> PackedVector:
    """The vector for a statement; raises UsageError for one that has no such distance to those of the space."""
    if len(numbers) != space.dimensions:
        raise UsageError(
            f"the vector has {len(numbers)} dimensions, but the live space ({space.model}) has "
            f"{space.dimensions}; embed the query with that model."
        )
    if isinstance(numbers, PackedVector):
        return numbers
    length = math.hypot(*numbers)
    if not math.isfinite(length) and not all(map(math.isfinite, numbers)):
        raise UsageError("the vector has NaN or infinite values; give one finite number for each dimension.")
    if distance == "cosine":
        if not length:
            raise UsageError("the vector is zero, which has no direction to compare; embed a text with words.")
        return PackedVector.of(numbers if 0.5 < length < 2 else _normalize(numbers))
    # Larger values overflow the server's four-byte numbers: those of the vector, or the sums of their squares.
    largest = 65_504 if space.storage == "halfvec" else 1e15
    if max(map(abs, numbers)) > largest:
        raise UsageError(f"the vector has values beyond {largest:g}; embed the query with {space.model}.")
    return PackedVector.of(numbers)


def _normalize(numbers: Sequence[float]) -> list[float]:
    # Scaled first: the squares of some values do not fit into a float.
    largest = max(map(abs, numbers))
    scaled = [number / largest for number in numbers]
    length = math.hypot(*scaled)
    return [number / length for number in scaled]


def _hash(text: str) -> bytes:
    return sha256(text.encode()).digest()
