"""The IO manager: writes the streams of our assets batch by batch, and loads our tables for any asset."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from rag_assets.io import tables
from rag_assets.io.metadata import write_metadata
from rag_assets.partitions import slice_keys
from rag_assets.progress import LogLines, listening
from rag_assets.resources.postgres import Postgres
from rag_assets.stages.batches import Batch, ChunkBatches, DocumentBatches, EmbeddingBatches

if TYPE_CHECKING:
    from rag_assets.db.rows import Written

Stream = DocumentBatches | ChunkBatches | EmbeddingBatches


class TableIOManager(dg.ConfigurableIOManager):
    """Each batch is one short transaction, while the next batch is being made; no data is held in memory."""

    postgres: dg.ResourceDependency[Postgres]

    def handle_output(self, context: dg.OutputContext, obj: Stream) -> None:
        from rag_assets.db.rows import Written
        from rag_assets.stages.prefetch import prefetch

        if not isinstance(obj, Stream):
            raise dg.DagsterInvariantViolationError(
                f"{context.asset_key.to_user_string()} gave a {type(obj).__name__}; this IO manager writes "
                f"{', '.join(kind.__name__ for kind in Stream.__args__)}"
            )
        engine = self.postgres.engine
        written: dict[str, Written] = defaultdict(Written)
        figures: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(int, seconds=0.0))
        last = time.perf_counter()
        with listening(LogLines(context.log.info)):
            batches: Iterator[Batch] = obj.__iter__()
            for batch in prefetch(batches):
                with engine.begin() as connection:
                    written[batch.key] += batch.write(connection, context.run_id)
                now = time.perf_counter()
                for name, value in {**batch.figures, "seconds": now - last}.items():
                    figures[batch.key][name] += value
                last = now
        for key in slice_keys(context):
            self._describe(context, key, written[key], figures[key])

    def load_input(self, context: dg.InputContext) -> Any:
        slice_ = self._slice(context)
        return tables.load(slice_, context.dagster_type.typing_type)

    def _slice(self, context: dg.InputContext) -> tables.TableSlice:
        name = context.asset_key.path[-1]
        return tables.SLICES[name](self.postgres.engine, tuple(slice_keys(context)))

    def _describe(self, context: dg.OutputContext, key: str, written: "Written", figures: Mapping[str, float]) -> None:
        name = context.asset_key.path[-1]
        kind = tables.SLICES[name]
        engine = self.postgres.engine
        metadata = write_metadata(
            database=engine.url.database or "",
            table=kind.table,
            rows=kind(engine, (key,)).count(),
            partitioned=bool(key),
            written=written,
            figures=figures,
        )
        if not key:
            context.add_output_metadata(metadata)
            return
        # In a run over several keys, metadata of the output would be copied to all of them.
        context.step_context.add_asset_metadata(metadata, context.asset_key, partition_key=key)
