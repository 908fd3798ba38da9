"""The vectors of questions: embedded once by the space's own model, then remembered here and in the database."""

from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import Connection, Text, cast, literal, select
from sqlalchemy.dialects.postgresql import insert

from rag_assets.db.models import EmbeddingSpace, QueryVector
from rag_assets.embedding.encoder import Encoder, encoder_of

KEPT = 1_000

MakeEncoder = Callable[[EmbeddingSpace], Encoder]


class QueryVectors:
    """Vectors as pgvector writes them, by space and question; the newest `KEPT` in memory."""

    def __init__(self, make_encoder: MakeEncoder | None = None) -> None:
        self._make_encoder = make_encoder or _model_of
        self._encoders: dict[int, Encoder] = {}
        self._remembered: OrderedDict[tuple[int, str], str] = OrderedDict()

    def remembered(self, space: EmbeddingSpace, question: str) -> str | None:
        return self._remembered.get((space.id, question))

    def stored(self, connection: Connection, space: EmbeddingSpace, question: str) -> str | None:
        """The vector of a question that some process asked before."""
        known = select(QueryVector.embedding).where(
            QueryVector.space_id == space.id, QueryVector.query_hash == _hash(question)
        )
        vector = connection.scalar(known)
        return None if vector is None else self._remember(space, question, str(list(vector)))

    def embed(self, space: EmbeddingSpace, question: str) -> str:
        """Ask the model, which is loaded by the first question."""
        encoder = self._encoders.get(space.id) or self._encoders.setdefault(space.id, self._make_encoder(space))
        return self._remember(space, question, str(encoder.encode_query(question).tolist()))

    def store(self, connection: Connection, space: EmbeddingSpace, question: str, vector: str) -> None:
        """Keep it for other processes; of the question only its hash is kept."""
        written = cast(literal(vector, Text), VECTOR())
        kept = insert(QueryVector).values(space_id=space.id, query_hash=_hash(question), embedding=written)
        connection.execute(kept.on_conflict_do_nothing())

    def _remember(self, space: EmbeddingSpace, question: str, vector: str) -> str:
        self._remembered[(space.id, question)] = vector
        if len(self._remembered) > KEPT:
            self._remembered.popitem(last=False)
        return vector


def _hash(question: str) -> bytes:
    return sha256(question.encode()).digest()


def _model_of(space: EmbeddingSpace) -> Encoder:
    return encoder_of(space.model, space.revision, normalize=space.normalize)
