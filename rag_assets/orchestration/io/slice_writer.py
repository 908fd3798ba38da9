"""Write one stage's stream batch by batch, and keep the outcome of each slice."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rag_assets.errors import RagAssetsError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rag_assets.pipeline.stages.batches import Batch


class SliceWriter:
    """Writes each batch in its own short transaction; a project that fails is recorded with its reason, and skipped."""

    def __init__(self, engine: "Engine", stage: str, run_id: str, *, log: Callable[[str], None]) -> None:
        from rag_assets.db.writes.rows import WriteCounts
        from rag_assets.projects.failures import STAGES

        self.written: dict[str, WriteCounts] = defaultdict(WriteCounts)
        self.figures: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(int, seconds=0.0))
        self.failed: dict[str, Exception] = {}
        self._engine = engine
        self._stage = stage
        self._by_project = stage in STAGES
        self._run_id = run_id
        self._log = log
        self._last = time.perf_counter()

    def write(self, batch: "Batch") -> None:
        """Write the batch; when the connection breaks, write it again, so that no work of the model is lost."""
        from sqlalchemy.exc import DBAPIError

        from rag_assets.db.connections.retry import run_idempotent_write
        from rag_assets.pipeline.stages.batches import FailedProject
        from rag_assets.pipeline.stages.write_batch import write_batch

        if isinstance(batch, FailedProject):
            self._record_failure(batch.key, batch.error)
            return
        if batch.key in self.failed:
            return
        try:
            self.written[batch.key] += run_idempotent_write(self._engine, write_batch, batch, self._run_id)
        except DBAPIError as error:
            if not self._by_project:
                raise
            self._record_failure(batch.key, error)
            return
        now = time.perf_counter()
        for name, value in {**batch.figures, "seconds": now - self._last}.items():
            self.figures[batch.key][name] += value
        self._last = now

    def finish(self, keys: Sequence[str]) -> list[str]:
        """Record the successes; returns their keys. Raises the error, or all of them, when every slice failed."""
        from rag_assets.db.connections.retry import run_idempotent_write
        from rag_assets.projects.failures import record_success

        done = [key for key in keys if key not in self.failed]
        if done and self._by_project:
            run_idempotent_write(self._engine, record_success, done, self._stage)
        if done or not self.failed:
            return done
        if len(self.failed) == 1:
            raise next(iter(self.failed.values()))
        from rag_assets.db.session.server_errors import describe_error

        reasons = "; ".join(f"{key}: {describe_error(error)}" for key, error in self.failed.items())
        raise RagAssetsError(f"{self._stage} failed for all {len(self.failed)} projects: {reasons}")

    def _record_failure(self, project: str, error: Exception) -> None:
        from rag_assets.db.connections.retry import run_idempotent_write
        from rag_assets.db.session.server_errors import describe_error
        from rag_assets.projects.failures import record_failure

        self.failed[project] = error
        reason = describe_error(error)
        self._log(f"{self._stage} failed for project {project}: {reason}")
        run_idempotent_write(self._engine, record_failure, project, self._stage, reason, self._run_id)
