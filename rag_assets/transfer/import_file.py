"""Take the vectors of a Parquet file into the database: the next ingest of their texts copies them."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA

from rag_assets.db.database import autocommit_connection
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.checksums import CHECKSUM_TOLERANCE
from rag_assets.db.spaces.partitions import has_partition, partition
from rag_assets.db.spaces.spaces import SpaceDefinition, ensure_space
from rag_assets.db.spaces.text_kinds import check_kind
from rag_assets.db.writes.rows import EmbeddingRow
from rag_assets.db.writes.upserts import write_embeddings
from rag_assets.documents.text import fingerprint
from rag_assets.embedding.model import document_prompt
from rag_assets.embedding.remote.names import DOCUMENT_TYPE
from rag_assets.errors import IntegrityError, UsageError
from rag_assets.pipeline.progress import report_progress
from rag_assets.pipeline.stages.vectors.vector_reuse import has_same_vectors
from rag_assets.pipeline.target.wanted_space import target_space
from rag_assets.settings.settings import Settings
from rag_assets.transfer.vector_file import FileRows, check_rows, open_vector_file, read_rows

if TYPE_CHECKING:
    import pyarrow.parquet as pq


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """The fields are the keys of `rag-assets import FILE.parquet --json`; `present` vectors were there before."""

    file: str
    space: int
    kind: str
    model: str
    dimensions: int
    vectors: int
    new: int
    present: int


def import_vectors(engine: Engine, settings: Settings, file: Path) -> ImportedFile:
    """Prove the whole file, then store its vectors; embeds nothing.

    They are kept in a space of their own, from which ingests copy the vectors of texts that have none, until it is as
    old as an unfinished space may get. Raises UsageError for vectors of another model than that of the settings, and
    IntegrityError for a damaged file and for vectors that differ from those that the database has.
    """
    with open_vector_file(file) as (opened, definition):
        kind = check_kind(definition.kind)
        wanted = target_space(settings, kind).definition
        space, known = _space_of(wanted), _space_of(definition)
        if not has_same_vectors(space, known):
            raise UsageError(_other_model(file, definition, wanted))
        known_spaces = _check_file(engine, file, opened, wanted)
        total = opened.metadata.num_rows
        with engine.begin() as connection:
            space = ensure_space(connection, _imported(wanted))
            # Its age counts from the last import.
            touched = update(EmbeddingSpace).where(EmbeddingSpace.id == space.id).values(updated_at=func.now())
            connection.execute(touched)
        new = done = 0
        with hold_lock(engine, f"vectors of space {space.id}", wait_s=settings.lock_wait_s, shared=True):
            for rows in read_rows(file, opened):
                with engine.begin() as connection:
                    stored = set[bytes]().union(
                        *(_stored_checksums(connection, id_, rows.hashes) for id_ in {space.id, *known_spaces})
                    )
                    missing = [
                        EmbeddingRow(hash_, vector)
                        for hash_, vector in zip(rows.hashes, rows.vectors, strict=True)
                        if hash_ not in stored
                    ]
                    new += write_embeddings(connection, space.id, missing).inserted
                done += len(rows.hashes)
                report_progress("import", done, total, "vectors")
    return ImportedFile(
        file=str(file),
        space=space.id,
        kind=kind,
        model=space.model,
        dimensions=space.dimensions,
        vectors=total,
        new=new,
        present=total - new,
    )


def _imported(wanted: SpaceDefinition) -> SpaceDefinition:
    """The space that holds imported vectors of this model, beside the one that has them once their texts are there."""
    encoder = (wanted.model, wanted.revision, wanted.dimensions, wanted.max_tokens, wanted.normalize, wanted.prompts)
    return replace(wanted, fingerprint=fingerprint("imported", wanted.kind, *encoder, wanted.chunking))


def _space_of(definition: SpaceDefinition) -> EmbeddingSpace:
    return EmbeddingSpace(**asdict(definition), status="building")


def _check_file(engine: Engine, file: Path, opened: "pq.ParquetFile", wanted: SpaceDefinition) -> list[int]:
    """Prove every row before the first one is stored; returns the spaces that have such vectors already."""
    spaces = select(EmbeddingSpace.id).where(
        EmbeddingSpace.fingerprint.in_([wanted.fingerprint, _imported(wanted).fingerprint]),
        EmbeddingSpace.status != "retired",
    )
    with autocommit_connection(engine) as connection:
        known = [found for found in connection.scalars(spaces) if has_partition(connection, found)]
        for rows in read_rows(file, opened):
            check_rows(file, rows, normalized=wanted.normalize)
            for space_id in known:
                _check_present(file, rows, _stored_checksums(connection, space_id, rows.hashes), space_id)
            report_progress("check", rows.first + len(rows.hashes), opened.metadata.num_rows, "vectors")
    return known


def _check_present(file: Path, rows: FileRows, stored: dict[bytes, float | None], space_id: int) -> None:
    for hash_, own in zip(rows.hashes, rows.checksums, strict=True):
        other = stored.get(hash_)
        if other is not None and abs(other - own) > CHECKSUM_TOLERANCE:
            raise IntegrityError(
                f"{file} has another vector for the text {hash_.hex()[:12]}… than space {space_id}; run rag-assets "
                "check to see whether the space's are damaged, or import into another database. Nothing was imported."
            )


def _stored_checksums(connection: Connection, space_id: int, hashes: list[bytes]) -> dict[bytes, float | None]:
    stored = partition(space_id)
    wanted = func.unnest(bindparam("hashes", hashes, type_=ARRAY(BYTEA))).table_valued("hash").render_derived()
    found = select(stored.c.content_hash, stored.c.checksum).join(wanted, wanted.c.hash == stored.c.content_hash)
    rows = connection.execute(found.where(stored.c.space_id == space_id))
    return {bytes(hash_): sum_ for hash_, sum_ in rows}


def _other_model(file: Path, given: SpaceDefinition, wanted: SpaceDefinition) -> str:
    settings = {
        "model": "RAG_ASSETS_MODEL",
        "revision": "RAG_ASSETS_MODEL_REVISION",
        "dimensions": "RAG_ASSETS_DIMENSIONS",
        "window": "RAG_ASSETS_MODEL_WINDOW",
        "document prompt": "RAG_ASSETS_DOCUMENT_PROMPT",
        "normalize": "RAG_ASSETS_NORMALIZE",
    }
    theirs, ours = _facts(given), _facts(wanted)
    name = next((name for name in settings if theirs[name] != ours[name]), None)
    if name is None:
        return (
            f"{file} has vectors of {given.kind} that were split in another way than this version splits them; "
            "export it again with this version."
        )
    return (
        f"{file} has vectors of another model: its {name} is {theirs[name]!r}, and the settings ask for "
        f"{ours[name]!r}; set {settings[name]} to import it. Nothing was imported."
    )


def _facts(definition: SpaceDefinition) -> dict[str, Any]:
    prompts = definition.prompts
    return {
        "model": definition.model,
        "revision": definition.revision,
        "dimensions": definition.dimensions,
        "window": definition.max_tokens,
        "document prompt": prompts.get(DOCUMENT_TYPE) or document_prompt(prompts),
        "normalize": definition.normalize,
    }
