"""Rows of a slice as Arrow record batches, with a schema made from the table's own types."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import ARRAY, BigInteger, ColumnElement, DateTime, Integer, LargeBinary, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from rag_assets.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa


def record_batches(
    columns: Sequence[ColumnElement[Any]], pages: Iterable[Sequence[Mapping[str, Any]]]
) -> "pa.RecordBatchReader":
    """A stream of batches. UUIDs become text, jsonb becomes JSON text, vectors become lists of float32."""
    try:
        import pyarrow as pa
    except ModuleNotFoundError:
        raise UsageError(
            "pyarrow is not installed, and loading a table as a data frame needs it; run: pip install pyarrow"
        ) from None

    schema = pa.schema([(column.name, _arrow_type(column.type)) for column in columns])
    convert = {column.name: _converter(column.type) for column in columns}

    def batches() -> Iterator[pa.RecordBatch]:
        for page in pages:
            arrays = [
                pa.array([convert[field.name](row[field.name]) for row in page], type=field.type) for field in schema
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def _arrow_type(type_: TypeEngine[Any]) -> "pa.DataType":
    import pyarrow as pa

    match type_:
        case VECTOR():
            return pa.list_(pa.float32())
        case BigInteger():
            return pa.int64()
        case Integer():
            return pa.int32()
        case LargeBinary():
            return pa.binary()
        case DateTime():
            return pa.timestamp("us", tz="UTC")
        case ARRAY():
            return pa.list_(_arrow_type(type_.item_type))
    return pa.string()


def _converter(type_: TypeEngine[Any]) -> Callable[[Any], Any]:
    match type_:
        case Uuid():
            return str
        case JSONB():
            return lambda value: None if value is None else json.dumps(value, ensure_ascii=False)
    return lambda value: value
