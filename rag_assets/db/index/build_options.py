"""The limits of an index build, and what triggers one."""

from collections.abc import Callable
from dataclasses import dataclass

from rag_assets.db.index.build_session import Progress, ignore_progress
from rag_assets.db.index.state import DEFAULT_THRESHOLDS, IndexThresholds
from rag_assets.settings.settings import Settings

# Returns the recall of searches through the index, or None if the space is empty.
MeasureRecall = Callable[[], float | None]


@dataclass(frozen=True, slots=True)
class IndexBuildOptions:
    """The limits of a build, and the thresholds that trigger one.

    With `recall`, which measures the recall of the present index, an index below the threshold is rebuilt. The recall
    of the new index is stored in its comment, so that it is not rebuilt again if that did not help.
    """

    memory_limit_mb: int = 2048
    wait_s: float = 600
    progress: Progress = ignore_progress
    workers: int | None = None
    nice: int = 10
    thresholds: IndexThresholds = DEFAULT_THRESHOLDS
    recall: MeasureRecall | None = None

    @classmethod
    def from_settings(
        cls, settings: Settings, progress: Progress, recall: MeasureRecall | None = None
    ) -> "IndexBuildOptions":
        return cls(
            memory_limit_mb=settings.index_build_memory_mb,
            wait_s=settings.lock_wait_s,
            progress=progress,
            workers=settings.index_build_workers,
            nice=settings.background_nice,
            thresholds=IndexThresholds(settings.index_dead_share_limit, settings.recall_limit),
            recall=recall,
        )
