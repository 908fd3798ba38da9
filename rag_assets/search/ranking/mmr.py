"""Maximal marginal relevance: choose hits that differ from each other among the candidates of a search."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, and_, any_, bindparam, func, select

from rag_assets.db.connections.compiled import CompiledStatement, compile_statement
from rag_assets.db.connections.execute import StatementRunner, run_compiled
from rag_assets.db.models import DocumentChunk, EmbeddingSpace
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.vector_codec import unpack_vector
from rag_assets.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Row = TypeVar("Row")

# Candidates that are compared for each hit wanted.
CANDIDATES_PER_HIT = 5
# Sums over equal vectors may differ in their last digits, on which ties must not depend.
_DIGITS = 9


def diversify(
    connection: StatementRunner,
    space: EmbeddingSpace,
    candidates: Sequence[tuple[float, Row]],
    *,
    k: int,
    balance: float,
    chunk_id: Callable[[Row], UUID],
) -> list[tuple[float, Row]]:
    """`k` of the candidates in the order of `mmr`, with their scores.

    `candidates` are (score, row), best first. Raises UsageError for a balance outside 0 to 1.
    """
    check_mmr_balance(balance)
    if balance == 1:
        return list(candidates[:k])
    ids = [chunk_id(row) for _, row in candidates]
    stored = fetch_chunk_vectors(connection, space, ids)
    texts = [stored[id_][0] if id_ in stored else id_ for id_ in ids]
    vectors = [stored[id_][1] if id_ in stored else None for id_ in ids]
    order = mmr([score for score, _ in candidates], vectors, texts, k=k, balance=balance)
    return [candidates[index] for index in order]


def mmr(
    scores: Sequence[float],
    vectors: "Sequence[NDArray[np.float32] | None]",
    texts: Sequence[Hashable],
    *,
    k: int,
    balance: float,
) -> list[int]:
    """The indices of `k` candidates in the order of maximal marginal relevance.

    Each next candidate maximizes balance * score - (1 - balance) * (largest cosine similarity to those chosen before):
    Carbonell and Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
    Summaries" (SIGIR 1998). Scores are scaled first, from 0 for the worst candidate to 1 for the best, since those of
    keyword search, rank fusion and rerankers are no cosines. A balance of 1 keeps the given order, 0 ignores scores.
    Below 1, a candidate with the text of a chosen one (equal in `texts`) comes after all others, in the given order.
    Ties go to the candidate that is first; one without a vector is similar to none.

    Raises UsageError for a balance outside 0 to 1.
    """
    import numpy as np

    check_mmr_balance(balance)
    if balance == 1 or len(scores) < 2:
        return list(range(min(k, len(scores))))
    first = dict[Hashable, int]()
    for index, text in enumerate(texts):
        first.setdefault(text, index)
    distinct = list(first.values())
    original = np.asarray(scores, dtype=np.float64)[distinct]
    span = np.ptp(original)
    relevance = (original - original.min()) / span if span else np.zeros(len(original))
    units = _unit_rows([vectors[index] for index in distinct])
    nearest = np.full(len(distinct), -np.inf)
    chosen: list[int] = []
    while len(chosen) < min(k, len(distinct)):
        redundancy = np.where(np.isinf(nearest), 0.0, nearest)
        gain = np.round(balance * relevance - (1 - balance) * redundancy, _DIGITS)
        gain[chosen] = -np.inf
        best = int(np.argmax(gain))
        chosen.append(best)
        nearest = np.maximum(nearest, units @ units[best])
    order = [distinct[index] for index in chosen]
    repeated = [index for index in range(len(texts)) if first[texts[index]] != index]
    return [*order, *repeated][:k]


def check_mmr_balance(balance: float) -> None:
    if not 0 <= balance <= 1:
        raise UsageError(f"mmr is {balance}; choose 0 (most different hits) to 1 (most relevant hits).")


def fetch_chunk_vectors(
    connection: StatementRunner, space: EmbeddingSpace, chunk_ids: Iterable[UUID]
) -> "dict[UUID, tuple[bytes, NDArray[np.float32]]]":
    """(hash of the text, its vector in the space) by chunk id; chunks without a vector are left out."""
    found = run_compiled(connection, _compiled_vectors(space.id), {"chunks": list(chunk_ids)})
    return {id_: (hash_, unpack_vector(sent)) for id_, hash_, sent in found}


@lru_cache(maxsize=256)
def _compiled_vectors(space_id: int) -> CompiledStatement:
    table = partition(space_id)
    # In pgvector's binary format, two 16-bit numbers and big-endian floats: a tenth of the time of its text format.
    return compile_statement(
        select(DocumentChunk.id, DocumentChunk.content_hash, func.vector_send(table.c.embedding))
        .join(table, and_(table.c.content_hash == DocumentChunk.content_hash, table.c.space_id == space_id))
        .where(DocumentChunk.id == any_(bindparam("chunks", type_=ARRAY(Uuid))))
    )


def _unit_rows(vectors: "Sequence[NDArray[np.float32] | None]") -> "NDArray[np.float64]":
    """The vectors scaled to length 1, as rows; zeros for a missing vector."""
    import numpy as np

    dimensions = next((len(vector) for vector in vectors if vector is not None), 1)
    rows = np.array([np.zeros(dimensions) if vector is None else vector for vector in vectors], dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    units: NDArray[np.float64] = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return units
