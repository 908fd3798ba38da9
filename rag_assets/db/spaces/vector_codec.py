"""Cursors that send and receive pgvector's vectors in binary, without changing the connection for its next user."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from psycopg import AsyncConnection, AsyncCursor, Connection, Cursor
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types import TypeInfo
from sqlalchemy.pool import ManagesConnection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def vector_cursor(driver: Connection[Any]) -> Cursor[Any]:
    """A binary cursor that knows the type `vector`: arrays go in, `pgvector.Vector` comes out.

    Registered on the cursor, not on the connection: that one goes back to a pool, where SQLAlchemy's own types
    expect vectors as text.
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


async def know_vectors(driver: AsyncConnection[Any], cursor: AsyncCursor[Any]) -> None:
    """Let a cursor of an event loop send arrays as vectors in binary."""
    from pgvector.psycopg.vector import register_vector_info

    info = await TypeInfo.fetch(driver, "vector")
    assert info is not None
    # To the cursor alone, as above; `set_types` looks the name up among the types of the connection.
    info.register(driver)
    register_vector_info(cursor, info)  # type: ignore[arg-type]


_KNOWN = "rag_assets.packed_vectors"
# Before the numbers: how many there are.
_HEADER = 4
# The server's type of a number of four bytes.
_REAL = 700


@dataclass(frozen=True, slots=True)
class PackedVector:
    """Numbers of four bytes, as `vector_recv` reads them."""

    data: bytes

    @classmethod
    def of(cls, numbers: Sequence[float]) -> "PackedVector":
        return cls(struct.pack(f">HH{len(numbers)}f", len(numbers), 0, *numbers))

    @classmethod
    def of_array(cls, numbers: "NDArray[np.floating]") -> "PackedVector":
        """The like, without a Python object for each number."""
        return cls(struct.pack(">HH", len(numbers), 0) + numbers.astype(">f4").tobytes())

    def __len__(self) -> int:
        return len(self.data) // 4 - 1

    def numbers(self) -> tuple[float, ...]:
        return struct.unpack_from(f">{len(self)}f", self.data, _HEADER)

    def __str__(self) -> str:
        """As pgvector reads it in a text."""
        return str(list(self.numbers()))


@dataclass(frozen=True, slots=True)
class PackedVectors:
    """Several of one size, one after the other in one real[], as `array_recv` reads it."""

    data: bytes

    @classmethod
    def of(cls, vectors: Sequence[PackedVector]) -> "PackedVectors":
        numbers = b"".join(vector.data[_HEADER:] for vector in vectors)
        count = len(numbers) // 4
        # One dimension, no null, the type; then its length and first index, and each number after its own length, 4.
        packed = bytearray(20 + 8 * count)
        packed[:20] = struct.pack(">iiIii", 1, 0, _REAL, count, 1)
        packed[23::8] = b"\x04" * count
        for place in range(4):
            packed[24 + place :: 8] = numbers[place::4]
        return cls(bytes(packed))


def unpacked(sent: bytes) -> "NDArray[np.float32]":
    """The numbers of a stored vector, as `vector_send` gives it."""
    import numpy as np

    return np.frombuffer(sent, ">f4", offset=_HEADER).astype(np.float32)


class _PackedDumper(Dumper):
    # Of no type that the driver names: the statement's own cast says what it is.
    format = Format.BINARY

    def dump(self, obj: PackedVector | PackedVectors) -> bytes:
        return obj.data


# What a statement takes: a stored vector as its text, or a question's.
AnyVector: TypeAlias = str | PackedVector


def accept_packed(connection: ManagesConnection) -> None:
    """Let the driver's connection take packed vectors; asked of each one that a search works on."""
    if _KNOWN not in connection.info:
        driver = connection.driver_connection
        assert driver is not None
        driver.adapters.register_dumper(PackedVector, _PackedDumper)
        driver.adapters.register_dumper(PackedVectors, _PackedDumper)
        connection.info[_KNOWN] = True
