"""The statement of an exact vector search for a viewer: a function of the database compares what the viewer may read.

Under policies, each chunk and each vector would be looked up again to ask for whom it is. The function asks once.
"""

from typing import Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    BigInteger,
    Boolean,
    Double,
    Integer,
    LargeBinary,
    Select,
    bindparam,
    cast,
    column,
    func,
    select,
)

from rag_assets.db.connections.compiled import text_literal
from rag_assets.db.index.knn import literal_integer, materialize
from rag_assets.db.models import EmbeddingSpace
from rag_assets.search.vector.searchables import CHUNKS, Searchable
from rag_assets.search.vector.statements import RowsPerText, select_text_rows

# As good as no limit, of a number that the function adds one to.
_NO_LIMIT = 2**40


def select_readable(
    space: EmbeddingSpace,
    k: int,
    distance: str,
    searchable: Searchable = CHUNKS,
    limit: int | None = None,
    *,
    rows_per_text: RowsPerText = "all",
) -> Select[Any]:
    """The same as `select_exactly` without conditions, of what the viewer may read."""
    found = func.rag.readable_nearest(
        literal_integer(space.id),
        text_literal(space.chunking),
        cast(bindparam("query"), VECTOR()),
        text_literal(distance),
        cast(text_literal("on" if space.storage == "halfvec" else "off"), Boolean),
        cast(literal_integer(_NO_LIMIT if limit is None else limit), BigInteger),
        cast(literal_integer(k), BigInteger),
    ).table_valued(
        column("content_hash", LargeBinary),
        column("distance", Double),
        column("compared", BigInteger),
        column("qualifying", BigInteger),
        name="found",
    )
    compared = materialize(select(found).cte("compared"))
    numbers = (
        select(
            func.max(compared.c.compared, type_=Integer).label("compared"),
            func.max(compared.c.qualifying, type_=Integer).label("qualifying"),
        )
        .select_from(compared)
        .cte("numbers")
    )
    nearest = select(compared).where(compared.c.content_hash.is_not(None)).cte("nearest")
    return select_text_rows(space, nearest, k, (), searchable, beside=numbers, rows_per_text=rows_per_text)
