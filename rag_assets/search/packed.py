"""Vectors in pgvector's own binary form: a fraction of what their text costs, here and on the server."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from psycopg.adapt import Dumper
from psycopg.pq import Format
from sqlalchemy import Connection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_KNOWN = "rag_assets.packed_vectors"


@dataclass(frozen=True, slots=True)
class PackedVector:
    """Numbers of four bytes, as `vector_recv` reads them."""

    data: bytes

    @classmethod
    def of(cls, numbers: Sequence[float]) -> "PackedVector":
        return cls(struct.pack(f">HH{len(numbers)}f", len(numbers), 0, *numbers))

    def numbers(self) -> tuple[float, ...]:
        return struct.unpack_from(f">{len(self.data) // 4 - 1}f", self.data, 4)

    def __str__(self) -> str:
        """As pgvector reads it in a text."""
        return str(list(self.numbers()))


def unpacked(sent: bytes) -> "NDArray[np.float32]":
    """The numbers of a stored vector, as `vector_send` gives it."""
    import numpy as np

    return np.frombuffer(sent, ">f4", offset=4).astype(np.float32)


class _PackedDumper(Dumper):
    # Of no type that the driver names: the statement's own cast says that it is a vector.
    format = Format.BINARY

    def dump(self, obj: PackedVector) -> bytes:
        return obj.data


# What a statement takes: a stored vector as its text, or a question's.
AnyVector: TypeAlias = str | PackedVector


def accept_packed(connection: Connection) -> None:
    """Let the driver's connection take packed vectors; asked of each one that a search works on."""
    if _KNOWN not in connection.info:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.adapters.register_dumper(PackedVector, _PackedDumper)
        connection.info[_KNOWN] = True
