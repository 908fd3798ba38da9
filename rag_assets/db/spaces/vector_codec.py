"""Vectors in pgvector's binary format: cursors that send and receive them, and packed values for statements."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from pgvector.sqlalchemy import VECTOR
from psycopg import AsyncConnection, AsyncCursor, Connection, Cursor
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types import TypeInfo
from sqlalchemy import (
    ARRAY,
    CTE,
    REAL,
    ColumnElement,
    LargeBinary,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.pool import ManagesConnection
from sqlalchemy.types import UserDefinedType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def vector_cursor(driver: Connection[Any]) -> Cursor[Any]:
    """A binary cursor with the type `vector` registered: it takes arrays and returns `pgvector.Vector`.

    Registered on the cursor, not on the connection: the connection returns to a pool, and SQLAlchemy's types expect
    vectors as text.
    """
    from pgvector.psycopg.vector import register_vector_info

    info = driver.adapters.types.get("vector")
    if info is None:
        info = TypeInfo.fetch(driver, "vector")
        assert info is not None
        info.register(driver)
    cursor = driver.cursor(binary=True)
    register_vector_info(cursor, info)  # type: ignore[arg-type]
    return cursor


async def register_vector_type(driver: AsyncConnection[Any], cursor: AsyncCursor[Any]) -> None:
    """Let an asynchronous cursor send arrays as vectors in binary."""
    from pgvector.psycopg.vector import register_vector_info

    info = await TypeInfo.fetch(driver, "vector")
    assert info is not None
    # On the cursor only, as above. The name is registered on the connection, where `set_types` looks it up.
    info.register(driver)
    register_vector_info(cursor, info)  # type: ignore[arg-type]


_REGISTERED = "rag_assets.packed_vectors"
# The header before the numbers: two bytes with their count, two unused.
_HEADER = 4
# OID of PostgreSQL's type real.
_REAL_OID = 700


@dataclass(frozen=True, slots=True)
class PackedVector:
    """A vector in the format of `vector_recv`."""

    data: bytes

    @classmethod
    def of(cls, numbers: Sequence[float]) -> "PackedVector":
        return cls(struct.pack(f">HH{len(numbers)}f", len(numbers), 0, *numbers))

    @classmethod
    def of_array(cls, numbers: "NDArray[np.floating]") -> "PackedVector":
        """Same as `of`, without a Python object for each number."""
        return cls(struct.pack(">HH", len(numbers), 0) + numbers.astype(">f4").tobytes())

    def __len__(self) -> int:
        return len(self.data) // 4 - 1

    def numbers(self) -> tuple[float, ...]:
        return struct.unpack_from(f">{len(self)}f", self.data, _HEADER)

    def __str__(self) -> str:
        """The text format of pgvector."""
        return str(list(self.numbers()))


@dataclass(frozen=True, slots=True)
class PackedVectors:
    """Several vectors of one size, concatenated into one real[], in the format of `array_recv`."""

    data: bytes

    @classmethod
    def of(cls, vectors: Sequence[PackedVector]) -> "PackedVectors":
        numbers = b"".join(vector.data[_HEADER:] for vector in vectors)
        count = len(numbers) // 4
        # One dimension, no nulls, the element type; the length and lower bound; then each number after its size, 4.
        packed = bytearray(20 + 8 * count)
        packed[:20] = struct.pack(">iiIii", 1, 0, _REAL_OID, count, 1)
        packed[23::8] = b"\x04" * count
        for place in range(4):
            packed[24 + place :: 8] = numbers[place::4]
        return cls(bytes(packed))


class _PackedReals(UserDefinedType[PackedVectors]):
    """Sent as it is: the cast in the statement says what it is."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "real[]"


def select_sent_vectors(dimensions: int) -> CTE:
    """The parameters `hashes` and `vectors` (packed) as rows of a WITH clause, `content_hash` and `embedding`.

    For a few rows this takes a third of the time of a COPY into a temporary table.
    """
    size: ColumnElement[int] = literal_column(str(dimensions))
    # OFFSET 0: the server reads the parameter once, not for each row.
    sent = cast(bindparam("vectors", type_=_PackedReals()), ARRAY(REAL))
    numbers = select(sent.label("numbers")).offset(literal_column("0")).subquery("sent")
    hash_ = (
        func.unnest(bindparam("hashes", type_=ARRAY(LargeBinary)))
        .table_valued(column("content_hash", LargeBinary), with_ordinality="place", name="hashes")
        .render_derived()
    )
    own = numbers.c.numbers[(hash_.c.place - 1) * size + 1 : hash_.c.place * size]
    rows = select(hash_.c.content_hash, cast(own, VECTOR()).label("embedding")).select_from(hash_.join(numbers, true()))
    return rows.cte("incoming").prefix_with("MATERIALIZED", dialect="postgresql")


def unpack_vector(sent: bytes) -> "NDArray[np.float32]":
    """The numbers of a vector in the format of `vector_send`."""
    import numpy as np

    return np.frombuffer(sent, ">f4", offset=_HEADER).astype(np.float32)


def as_array(vector: Any) -> "NDArray[np.float32]":
    """The numbers of a vector as a statement returns it, which depends on the version of pgvector."""
    import numpy as np

    return np.asarray(vector.to_numpy() if hasattr(vector, "to_numpy") else vector, dtype=np.float32)


class _PackedDumper(Dumper):
    # No OID: the cast in the statement determines the type.
    format = Format.BINARY

    def dump(self, obj: PackedVector | PackedVectors) -> bytes:
        return obj.data


# A vector as the parameter of a statement: a stored one in text format, or a packed one.
AnyVector: TypeAlias = str | PackedVector


def register_packed_vectors(connection: ManagesConnection) -> None:
    """Register packed vectors on the driver's connection, once each; called for every connection that searches."""
    if _REGISTERED not in connection.info:
        driver = connection.driver_connection
        assert driver is not None
        driver.adapters.register_dumper(PackedVector, _PackedDumper)
        driver.adapters.register_dumper(PackedVectors, _PackedDumper)
        connection.info[_REGISTERED] = True
