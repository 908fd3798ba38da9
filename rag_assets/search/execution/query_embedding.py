"""The vectors of questions: embedded once by the space's own model, then remembered here and in the database."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import sha256

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import Connection, Text, cast, literal, select
from sqlalchemy.dialects.postgresql import insert

from rag_assets.db.models import EmbeddingSpace, QueryVector
from rag_assets.db.spaces.vector_codec import PackedVector
from rag_assets.embedding.encoder import Encoder, get_space_encoder
from rag_assets.errors import ServiceError, UsageError
from rag_assets.search.execution.concurrency import Waiting
from rag_assets.search.execution.live_space import Live
from rag_assets.search.execution.read_session import Reader
from rag_assets.search.request import Request

KEPT = 1_000

MakeEncoder = Callable[[EmbeddingSpace], Encoder]


class QueryVectors:
    """Vectors by space and question; the newest `KEPT` in memory."""

    def __init__(self, make_encoder: MakeEncoder | None = None) -> None:
        self._make_encoder = make_encoder or _model_of
        self._encoders: dict[int, Encoder] = {}
        self._remembered: OrderedDict[tuple[int, str], PackedVector] = OrderedDict()

    def remembered(self, space: EmbeddingSpace, question: str) -> PackedVector | None:
        return self._remembered.get((space.id, question))

    def stored(self, connection: Connection, space: EmbeddingSpace, question: str) -> PackedVector | None:
        """The vector of a question that some process asked before."""
        known = select(QueryVector.embedding).where(
            QueryVector.space_id == space.id, QueryVector.query_hash == _hash(question)
        )
        vector = connection.scalar(known)
        return None if vector is None else self._remember(space, question, PackedVector.of(vector))

    def embed(self, space: EmbeddingSpace, question: str) -> PackedVector:
        """Ask the model, which is loaded by the first question; raises ServiceError for an answer that is no vector."""
        encoder = self._encoders.get(space.id) or self._encoders.setdefault(space.id, self._make_encoder(space))
        numbers = encoder.encode_query(question).tolist()
        try:
            packed = pack_vector(space, numbers, space.distance)
        except UsageError as error:
            raise ServiceError(
                f"{space.model} gave the question a vector that cannot be searched for: {error}"
            ) from None
        return self._remember(space, question, packed)

    def store(self, connection: Connection, space: EmbeddingSpace, question: str, vector: PackedVector) -> None:
        """Keep it for other processes; of the question only its hash is kept."""
        written = cast(literal(str(vector), Text), VECTOR())
        kept = insert(QueryVector).values(space_id=space.id, query_hash=_hash(question), embedding=written)
        connection.execute(kept.on_conflict_do_nothing())

    def _remember(self, space: EmbeddingSpace, question: str, vector: PackedVector) -> PackedVector:
        self._remembered[(space.id, question)] = vector
        if len(self._remembered) > KEPT:
            self._remembered.popitem(last=False)
        return vector


def pack_vector(space: EmbeddingSpace, numbers: Sequence[float] | PackedVector, distance: str) -> PackedVector:
    """The vector for a statement; raises UsageError for one that has no such distance to those of the space."""
    if len(numbers) != space.dimensions:
        raise UsageError(
            f"the vector has {len(numbers)} dimensions, but the live space ({space.model}) has "
            f"{space.dimensions}; embed the question with that model."
        )
    if isinstance(numbers, PackedVector):
        return numbers
    length = math.hypot(*numbers)
    if not math.isfinite(length) and not all(map(math.isfinite, numbers)):
        raise UsageError("the vector has NaN or infinite values; give one finite number a dimension.")
    if distance == "cosine":
        if not length:
            raise UsageError("the vector is zero, which has no direction to compare; embed a text with words.")
        return PackedVector.of(numbers if 0.5 < length < 2 else _of_length_one(numbers))
    # Beyond, the server's numbers overflow: those of the vector, or the sums of their squares.
    most = 65_504 if space.storage == "halfvec" else 1e15
    if max(map(abs, numbers)) > most:
        raise UsageError(f"the vector has values beyond {most:g}; embed the question with {space.model}.")
    return PackedVector.of(numbers)


def _of_length_one(numbers: Sequence[float]) -> list[float]:
    # Its length counts for nothing, and the server's numbers are too short for the squares of some.
    most = max(map(abs, numbers))
    scaled = [number / most for number in numbers]
    length = math.hypot(*scaled)
    return [number / length for number in scaled]


def _hash(question: str) -> bytes:
    return sha256(question.encode()).digest()


def _model_of(space: EmbeddingSpace) -> Encoder:
    return get_space_encoder(space)


class Asking:
    """Asks each space's model at most once for a question, which is loaded by the first one."""

    def __init__(self, reader: Reader, waiting: Waiting, encoder: MakeEncoder | None) -> None:
        self._reader = reader
        self._waiting = waiting
        self._vectors = QueryVectors(encoder)
        # Until a database that may only be read refuses them.
        self._keeps_questions = True

    def vector(self, live: Live, space: EmbeddingSpace, request: Request) -> tuple[PackedVector, float]:
        """The question's vector, empty for a search by words, and the milliseconds that it took."""
        if request.vector is not None:
            try:
                return pack_vector(space, request.vector, request.distance or space.distance), 0.0
            except UsageError:
                # It may be right for another space, which took the place of the one that is known here.
                self._reader.read(lambda connection: live.confirm(connection, space))
                raise
        if request.mode == "text":
            return PackedVector.of(()), 0.0
        started = time.perf_counter()
        question = request.text
        vector = self._vectors.remembered(space, question) or self._reader.read(
            lambda connection: self._vectors.stored(connection, space, question)
        )
        if vector is None:
            made = self._waiting.run(self._vectors.embed, space, question)
            if self._keeps_questions:
                self._keeps_questions = self._reader.attempt(
                    lambda connection: self._vectors.store(connection, space, question, made)
                )
            vector = made
        return vector, (time.perf_counter() - started) * 1000
