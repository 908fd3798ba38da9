"""The vector of what is asked, in a space: given, remembered, stored by another process, or made by the model."""

import time

from rag_assets.db.models import EmbeddingSpace
from rag_assets.errors import UsageError
from rag_assets.search.live import Live
from rag_assets.search.packed import PackedVector
from rag_assets.search.query_vectors import MakeEncoder, QueryVectors, pack_vector
from rag_assets.search.reading import Reader
from rag_assets.search.request import Request
from rag_assets.search.waiting import Waiting


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
