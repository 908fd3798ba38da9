"""The IO manager: loading by the annotation of a downstream asset, and the metadata of each write."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sqlalchemy import Engine

from rag_assets.orchestration.io.tables import ChunkSlice, DocumentSlice, EmbeddingSlice
from rag_assets.orchestration.partitions import projects
from tests.support.data.corpus import PROJECTS
from tests.support.pipeline.runs import errors, fake_defs, rows, run

COUNTS = {
    "raw_documents": "SELECT count(*) FROM rag.documents d JOIN rag.projects p ON p.id = d.project_id",
    "chunks": "SELECT count(*) FROM rag.document_chunks c JOIN rag.documents d ON d.id = c.document_id "
    "JOIN rag.projects p ON p.id = d.project_id",
    "embeddings": "SELECT count(DISTINCT c.content_hash) FROM rag.document_chunks c JOIN rag.documents d "
    "ON d.id = c.document_id JOIN rag.projects p ON p.id = d.project_id",
}

COLUMNS = (
    "SELECT column_name, is_nullable = 'YES' FROM information_schema.columns "
    "WHERE table_schema = 'rag' AND table_name = :table"
)


@pytest.fixture
def instance(built: Engine) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(projects.name), list(PROJECTS))
        yield instance


def expected(engine: Engine, asset: str, keys: Sequence[str]) -> int:
    found: int = rows(engine, f"{COUNTS[asset]} WHERE p.name = ANY(:keys)", keys=list(keys))[0][0]
    return found


def load(instance: dg.DagsterInstance, annotation: Any, asset: str, keys: Sequence[str] | None) -> Any:
    """Load `asset` in a downstream asset; with keys None it is not partitioned and loads all keys."""
    loaded: list[Any] = []

    def body(value: Any) -> None:
        loaded.append(value)

    body.__annotations__ = {"value": annotation, "return": None}
    downstream = dg.asset(
        name="downstream",
        ins={"value": dg.AssetIn(asset)},
        partitions_def=projects if keys is not None else None,
    )(body)
    tags = {}
    if keys is not None:
        tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
    defs = dg.Definitions(assets=[*(fake_defs.assets or []), downstream], resources=fake_defs.resources)
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey("downstream")],
        tags=tags,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    if not result.success:
        raise AssertionError(errors(result))
    [value] = loaded
    return value


SIZE: dict[Any, Callable[[Any], int]] = {
    pd.DataFrame: len,
    pl.DataFrame: len,
    pl.LazyFrame: lambda frame: len(frame.collect()),
    pa.Table: lambda table: table.num_rows,
    pa.RecordBatchReader: lambda reader: sum(batch.num_rows for batch in reader),
}


@pytest.mark.parametrize("annotation", list(SIZE), ids=lambda kind: f"{kind.__module__.split('.')[0]}.{kind.__name__}")
def test_an_asset_loads_tables_as_the_annotated_type(
    built: Engine, instance: dg.DagsterInstance, annotation: Any
) -> None:
    for asset in COUNTS:
        value = load(instance, annotation, asset, ["zoo"])
        assert isinstance(value, annotation)
        assert SIZE[annotation](value) == expected(built, asset, ["zoo"]) > 0


@pytest.mark.parametrize(
    ("asset", "kind"), [("raw_documents", DocumentSlice), ("chunks", ChunkSlice), ("embeddings", EmbeddingSlice)]
)
@pytest.mark.parametrize("keys", [["sea"], list(PROJECTS), None], ids=["one-key", "range", "all-keys"])
def test_a_stream_has_the_rows_of_the_requested_keys(
    built: Engine, instance: dg.DagsterInstance, asset: str, kind: Any, keys: list[str] | None
) -> None:
    stream = load(instance, kind, asset, keys)
    assert isinstance(stream, kind)
    found = list(stream)
    assert len(found) == stream.count() == expected(built, asset, keys or PROJECTS)
    # A stream can be read again, and gives the same rows in the same order.
    assert list(stream) == found


@pytest.mark.parametrize("keys", [list(PROJECTS), None], ids=["range", "all-keys"])
def test_data_frames_of_several_keys_have_the_rows_of_each(
    built: Engine, instance: dg.DagsterInstance, keys: list[str] | None
) -> None:
    frame = load(instance, pd.DataFrame, "chunks", keys)
    assert frame.groupby("project").size().to_dict() == {key: expected(built, "chunks", [key]) for key in PROJECTS}
    assert load(instance, pl.DataFrame, "embeddings", keys).height == expected(built, "embeddings", PROJECTS)


def test_loaded_values_equal_stored_values(built: Engine, instance: dg.DagsterInstance) -> None:
    chunks = load(instance, pa.Table, "chunks", None)
    stored = rows(
        built,
        "SELECT c.id::text, chunk_text, content_hash, char_start, heading_path FROM rag.document_chunks c ORDER BY 1",
    )
    names = ["id", "chunk_text", "content_hash", "char_start", "heading_path"]
    found = sorted(tuple(row[name] for name in names) for row in chunks.select(names).to_pylist())
    assert found == stored
    assert chunks.schema.field("char_start").type == pa.int32()
    assert chunks.schema.field("created_at").type == pa.timestamp("us", tz="UTC")
    assert "海豚" in " ".join(chunks["chunk_text"].to_pylist())
    vectors = load(instance, pl.DataFrame, "embeddings", None)
    assert vectors.schema["embedding"] == pl.List(pl.Float32)
    by_hash = {
        hash_: [float(part) for part in text.strip("[]").split(",")]
        for hash_, text in rows(built, "SELECT content_hash, embedding::text FROM rag.embeddings")
    }
    for hash_, vector in vectors.select("content_hash", "embedding").iter_rows():
        assert vector == pytest.approx(by_hash[hash_], rel=1e-6)


def test_a_key_without_rows_loads_an_empty_frame_with_columns(built: Engine, instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions(str(projects.name), ["empty"])
    for asset in COUNTS:
        frame = load(instance, pl.DataFrame, asset, ["empty"])
        assert frame.height == 0
        assert frame.width > 1


def test_an_asset_without_annotation_gets_the_stream(built: Engine, instance: dg.DagsterInstance) -> None:
    assert isinstance(load(instance, Any, "chunks", ["zoo"]), ChunkSlice)


@pytest.mark.parametrize("annotation", [list, dict[str, Any], DocumentSlice], ids=["list", "dict", "another-stream"])
def test_the_error_for_an_unsupported_type_lists_the_supported_ones(
    built: Engine, instance: dg.DagsterInstance, annotation: Any
) -> None:
    with pytest.raises(AssertionError) as raised:
        load(instance, annotation, "chunks", ["zoo"])
    message = str(raised.value)
    assert "document_chunks cannot be loaded as" in message
    assert "annotate the input with ChunkSlice, pandas.DataFrame, polars.DataFrame" in message


def test_the_error_for_an_asset_that_returns_no_stream_names_the_type(
    built: Engine, instance: dg.DagsterInstance
) -> None:
    @dg.asset(io_manager_key="tables", partitions_def=projects)
    def chunks() -> list[int]:
        return [1, 2]

    result = dg.materialize(
        [chunks],
        instance=instance,
        partition_key="zoo",
        resources=fake_defs.resources,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    message = errors(result)[0]
    assert "chunks returned a list; this IO manager writes a BatchStream" in message


def metadata_by_key(instance: dg.DagsterInstance, asset: str) -> dict[str | None, dict[str, Any]]:
    records = instance.fetch_materializations(dg.AssetKey(asset), limit=10).records
    return {
        record.partition_key: dict(record.asset_materialization.metadata)
        for record in reversed(records)
        if record.asset_materialization is not None
    }


def test_a_run_over_a_range_reports_figures_per_key(built: Engine) -> None:
    instance = dg.DagsterInstance.get()
    instance.add_dynamic_partitions(str(projects.name), list(PROJECTS))
    # One new document in one of the two projects.
    [(folder,)] = rows(built, "SELECT source_uri FROM rag.projects WHERE name = 'zoo'")
    added = Path(folder.removeprefix("file://")) / "new.txt"
    added.write_text("Brand new words for everybody.\n")
    try:
        result = run(keys=PROJECTS, only=["raw_documents", "chunks", "embeddings"])
    finally:
        added.unlink()
    assert errors(result) == []
    tables = {"raw_documents": "documents", "chunks": "document_chunks", "embeddings": "embeddings"}
    for asset, table in tables.items():
        materialized = metadata_by_key(instance, asset)
        assert materialized.keys() == set(PROJECTS)
        for key, metadata in materialized.items():
            assert isinstance(metadata["dagster/partition_row_count"], dg.IntMetadataValue)
            # The chunk of the new document counts, though it waits for its vector when `chunks` ends.
            assert metadata["dagster/partition_row_count"].value == expected(built, asset, [str(key)])
            assert metadata["dagster/table_name"].value == f"{built.url.database}.rag.{table}"
            schema = metadata["dagster/column_schema"]
            assert isinstance(schema, dg.TableSchemaMetadataValue)
            stored = rows(built, COLUMNS, table=table)
            assert {(column.name, column.constraints.nullable) for column in schema.value.columns} == set(stored)
            assert metadata["inserted"].value == (1 if key == "zoo" else 0)
            assert metadata["deleted"].value == 0
            assert metadata["seconds"].value >= 0
    materialized = metadata_by_key(instance, "embeddings")
    assert {key: metadata["embedded"].value for key, metadata in materialized.items()} == {"zoo": 1, "sea": 0}
    assert materialized["zoo"]["reused"].value == materialized["zoo"]["distinct"].value - 1


def test_class_names_of_version_0_1_work_with_a_warning() -> None:
    from rag_assets.orchestration.io import tables

    with pytest.warns(DeprecationWarning, match="Chunks is now ChunkSlice"):
        assert tables.Chunks is ChunkSlice  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        tables.Nothing  # noqa: B018
