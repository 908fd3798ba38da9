"""The IO manager: writes the streams of our assets batch by batch, and loads our tables for any asset."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from rag_assets.orchestration.io.column_lineage import lineage_metadata
from rag_assets.orchestration.io.metadata import write_metadata
from rag_assets.orchestration.io.slice_writer import SliceWriter
from rag_assets.orchestration.io.tables import TableSlice, load, slice_of_asset
from rag_assets.orchestration.partitions import slice_keys
from rag_assets.orchestration.resources.postgres import Postgres
from rag_assets.orchestration.retries import no_vain_retries
from rag_assets.orchestration.scope import Pipeline
from rag_assets.orchestration.storage.dagster_internals import add_partition_metadata, keep_partitions
from rag_assets.pipeline.progress import LogLines, listening
from rag_assets.pipeline.stages.batches import ChunkBatches, DocumentBatches, EmbeddingBatches

Stream = DocumentBatches | ChunkBatches | EmbeddingBatches


def tables(pipeline: Pipeline) -> dg.IOManagerDefinition:
    @dg.io_manager(required_resource_keys={pipeline.postgres_key})
    def tables(context: dg.InitResourceContext) -> TableIOManager:
        """Writes our assets, and loads them for any other as a stream or a data frame."""
        return TableIOManager(pipeline.postgres(context))

    return tables


class TableIOManager(dg.IOManager):
    """Each batch is one short transaction, while the next batch is being made; no data is held in memory."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres

    def handle_output(self, context: dg.OutputContext, obj: Stream) -> None:
        from rag_assets.pipeline.stages.prefetch import prefetch

        if not isinstance(obj, Stream):
            raise dg.DagsterInvariantViolationError(
                f"{context.asset_key.to_user_string()} gave a {type(obj).__name__}; this IO manager writes "
                f"{', '.join(kind.__name__ for kind in Stream.__args__)}"
            )
        writing = SliceWriter(
            self.postgres.engine, context.asset_key.path[-1], context.run_id, log=lambda text: context.log.error(text)
        )
        with no_vain_retries(), listening(LogLines(context.log.info)):
            for batch in prefetch(iter(obj)):
                writing.write(batch)
            done = writing.finish(slice_keys(context))
        if writing.failed:
            keep_partitions(context, done)
        engine = self.postgres.engine
        slice_ = slice_of_asset(context.asset_key.path[-1], engine, tuple(done))
        rows, same = slice_.counts(), lineage_metadata(context.asset_key)
        for key in done:
            metadata = write_metadata(
                database=engine.url.database or "",
                table=slice_.table,
                rows=rows[key],
                partitioned=bool(key),
                written=writing.written[key],
                figures=writing.figures[key],
            )
            _describe(context, key, metadata | same)

    def load_input(self, context: dg.InputContext) -> Any:
        slice_ = self._slice(context)
        return load(slice_, context.dagster_type.typing_type)

    def _slice(self, context: dg.InputContext) -> TableSlice:
        return slice_of_asset(context.asset_key.path[-1], self.postgres.engine, tuple(slice_keys(context)))


def _describe(context: dg.OutputContext, key: str, metadata: Mapping[str, Any]) -> None:
    if not key:
        context.add_output_metadata(metadata)
    else:
        add_partition_metadata(context, key, metadata)
