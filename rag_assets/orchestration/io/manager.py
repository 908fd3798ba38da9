"""The IO manager: writes the assets' streams batch by batch, and loads our tables for any asset."""

from typing import Any

import dagster as dg

from rag_assets.orchestration.io.column_lineage import lineage_metadata
from rag_assets.orchestration.io.metadata import slice_metadata
from rag_assets.orchestration.io.slice_writer import SliceWriter
from rag_assets.orchestration.io.tables import load_slice, slice_of_asset
from rag_assets.orchestration.partitions import slice_keys
from rag_assets.orchestration.resources.postgres import Postgres
from rag_assets.orchestration.retries import fail_without_retries, wait_for_lost_database
from rag_assets.orchestration.scope import PipelineScope
from rag_assets.orchestration.storage.dagster_internals import add_partition_metadata, keep_partitions
from rag_assets.pipeline.progress import ProgressLog, progress_listener
from rag_assets.pipeline.stages.batches import BatchStream


def table_io_manager(scope: PipelineScope) -> dg.IOManagerDefinition:
    @dg.io_manager(required_resource_keys={scope.postgres_key})
    def tables(context: dg.InitResourceContext) -> TableIOManager:
        """Writes our assets' tables, and loads them for any other asset as a stream or a data frame."""
        return TableIOManager(scope, scope.postgres(context))

    return tables


class TableIOManager(dg.IOManager):
    """Writes each batch in one short transaction while the next batch is produced; holds no more than two in memory."""

    def __init__(self, scope: PipelineScope, postgres: Postgres) -> None:
        self.scope = scope
        self.postgres = postgres

    def handle_output(self, context: dg.OutputContext, obj: BatchStream) -> None:
        from rag_assets.pipeline.stages.prefetch import prefetch

        if not isinstance(obj, BatchStream):
            raise dg.DagsterInvariantViolationError(
                f"{context.asset_key.to_user_string()} returned a {type(obj).__name__}; this IO manager writes a "
                f"{BatchStream.__name__}"
            )
        engine, asset = self.postgres.engine, self.scope.asset_name(context.asset_key)
        writer = SliceWriter(engine, asset, context.run_id, log=lambda text: context.log.error(text))
        with (
            fail_without_retries(),
            wait_for_lost_database(engine),
            progress_listener(ProgressLog(context.log.info)),
        ):
            for batch in prefetch(iter(obj)):
                writer.write(batch)
            done = writer.finish(slice_keys(context))
        if writer.failed:
            keep_partitions(context, done)
        slice_ = slice_of_asset(asset, engine, tuple(done))
        rows, lineage = slice_.counts(), lineage_metadata(context.asset_key, self.scope)
        for key in done:
            metadata = slice_metadata(
                database=engine.url.database or "",
                table=slice_.table,
                rows=rows[key],
                partitioned=bool(key),
                written=writer.written[key],
                figures=writer.figures[key],
            )
            if key:
                add_partition_metadata(context, key, metadata | lineage)
            else:
                context.add_output_metadata(metadata | lineage)

    def load_input(self, context: dg.InputContext) -> Any:
        asset = self.scope.asset_name(context.asset_key)
        slice_ = slice_of_asset(asset, self.postgres.engine, tuple(slice_keys(context)))
        return load_slice(slice_, context.dagster_type.typing_type)
