"""The Parquet file of a space's vectors: what made them, and for each its text, the text's hash and a checksum."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.checksums import CHECKSUM_TOLERANCE, LENGTH_TOLERANCE
from rag_assets.db.spaces.spaces import SpaceDefinition
from rag_assets.documents.text import content_hash
from rag_assets.embedding.remote.names import SERVER, TOKENIZER_SOURCE
from rag_assets.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from numpy.typing import NDArray

_SPACE_KEY = b"rag_assets.space"
_FORMAT_KEY = b"rag_assets.format"
_FORMAT = b"1"
COLUMNS = ("content_hash", "text", "vector", "checksum")
READ_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class FileRows:
    """Some rows of a file; `vectors` is a matrix, `first` the number of the first row in the file, from 0."""

    first: int
    hashes: list[bytes]
    texts: list[str]
    vectors: "NDArray[np.float32]"
    checksums: "NDArray[np.float64]"


def file_schema(definition: SpaceDefinition, **marks: str) -> "pa.Schema":
    """The schema of a file of this space; `marks` are metadata besides."""
    pa = _import_pyarrow()
    fields = [
        pa.field("content_hash", pa.binary(32), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("vector", pa.list_(pa.field("item", pa.float32(), nullable=False), definition.dimensions), False),
        pa.field("checksum", pa.float64(), nullable=False),
    ]
    space = json.dumps(asdict(definition), sort_keys=True).encode()
    own = {f"rag_assets.{name}".encode(): value.encode() for name, value in marks.items()}
    return pa.schema(fields, metadata={_FORMAT_KEY: _FORMAT, _SPACE_KEY: space, **own})


def definition_of(space: EmbeddingSpace) -> SpaceDefinition:
    """What identifies the space on any machine: without where its tokenizer and its server are."""
    own = {name: getattr(space, name) for name in SpaceDefinition.__slots__}
    places = (TOKENIZER_SOURCE, SERVER)
    settings = {name: value for name, value in space.chunking_settings.items() if name not in places}
    return SpaceDefinition(**own | {"chunking_settings": settings})


@contextmanager
def open_vector_file(file: Path) -> "Iterator[tuple[pq.ParquetFile, SpaceDefinition]]":
    """Open a file of `rag-assets export`. Raises UsageError for one that is missing, truncated or another's."""
    pa = _import_pyarrow()
    import pyarrow.parquet as pq

    if not file.is_file():
        raise UsageError(f"there is no file {file}; write one with rag-assets export {file.name}.")
    try:
        opened = pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(
            f"{file} is not a whole Parquet file, so it may be truncated ({_first_line(error)}); copy or export it "
            "again. Nothing was imported."
        ) from None
    with opened:
        yield opened, _read_definition(file, opened.schema_arrow)


def read_rows(file: Path, opened: "pq.ParquetFile") -> Iterator[FileRows]:
    """All rows, some at a time, each proved: its text has the hash, and its vector the checksum that it was given."""
    pa = _import_pyarrow()
    import numpy as np

    first, dimensions = 0, opened.schema_arrow.field("vector").type.list_size
    batches = opened.iter_batches(batch_size=READ_ROWS, columns=list(COLUMNS))
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError) as error:
            raise IntegrityError(
                f"{file} is damaged after row {first:,} ({_first_line(error)}); copy or export it again. "
                "Nothing was imported."
            ) from None
        if batch is None:
            return
        if any(column.null_count for column in batch.columns):
            raise IntegrityError(f"{file} has a row without a value near row {first:,}; export it again.")
        yield FileRows(
            first,
            batch["content_hash"].to_pylist(),
            batch["text"].to_pylist(),
            np.asarray(batch["vector"].flatten(), dtype=np.float32).reshape(-1, dimensions),
            np.asarray(batch["checksum"], dtype=np.float64),
        )
        first += batch.num_rows


def check_rows(file: Path, rows: FileRows, *, normalized: bool) -> None:
    """Raise IntegrityError for the first row whose text or vector is not the one that was exported."""
    import numpy as np

    wrong = next((at for at, text in enumerate(rows.texts) if content_hash(text) != rows.hashes[at]), None)
    if wrong is not None:
        raise IntegrityError(_damaged(file, rows, wrong, "its text does not have its hash"))
    norms = np.linalg.norm(rows.vectors.astype(np.float64), axis=1)
    tolerance = CHECKSUM_TOLERANCE * np.maximum(1.0, np.nan_to_num(norms))
    off = ~(np.abs(checksums_of(rows.hashes, rows.vectors) - rows.checksums) <= tolerance)
    reasons = {
        "its vector does not have its checksum": off,
        "its vector is zero or not finite": ~(np.isfinite(norms) & (norms > 0)),
        "its vector does not have length 1": (np.abs(norms - 1) > LENGTH_TOLERANCE) & normalized,
    }
    for reason, found in reasons.items():
        if found.any():
            raise IntegrityError(_damaged(file, rows, int(found.argmax()), reason))


def checksums_of(hashes: "list[bytes]", vectors: "NDArray[np.float32]") -> "NDArray[np.float64]":
    """The same checksums as those of the database (db/spaces/checksums.py)."""
    import numpy as np

    number = np.arange(1, vectors.shape[1] + 1, dtype=np.float64)
    direction = np.cos(number * number).astype(np.float32).astype(np.float64)
    of_texts = np.array([int.from_bytes(hash_[:3], "big") for hash_ in hashes], dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        sums: NDArray[np.float64] = vectors.astype(np.float64) @ direction + of_texts
    return sums


def _damaged(file: Path, rows: FileRows, at: int, reason: str) -> str:
    return (
        f"row {rows.first + at + 1:,} of {file} (text {rows.hashes[at].hex()[:12]}…) is damaged: {reason}; copy or "
        "export the file again. Nothing was imported."
    )


def _read_definition(file: Path, schema: "pa.Schema") -> SpaceDefinition:
    metadata: Mapping[bytes, bytes] = schema.metadata or {}
    if _SPACE_KEY not in metadata:
        raise UsageError(
            f"{file} does not say which space its vectors are of; import a file that rag-assets export has written."
        )
    if metadata.get(_FORMAT_KEY) != _FORMAT:
        raise UsageError(f"{file} was written by a newer version of rag_assets; upgrade this one, then import it.")
    try:
        given: dict[str, Any] = json.loads(metadata[_SPACE_KEY])
        definition = SpaceDefinition(**given)
    except (ValueError, TypeError):
        raise UsageError(f"{file} has a definition of a space that cannot be read; export it again.") from None
    expected = file_schema(definition)
    for name in COLUMNS:
        if name not in schema.names or schema.field(name).type != expected.field(name).type:
            raise UsageError(
                f"{file} has no column {name!r} of the type {expected.field(name).type}; import a file that "
                "rag-assets export has written."
            )
    return definition


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no reason"])[0][:160].rstrip(".")


def _import_pyarrow() -> Any:
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError:
        raise UsageError("Parquet files need pyarrow; install it: pip install 'rag_assets[parquet]'.") from None
    return pa
