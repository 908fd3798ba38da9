"""Progress bars: one line for each stage of a run."""

from collections.abc import Iterator
from contextlib import contextmanager

from rag_assets.pipeline.progress import ProgressReport, progress_listener


@contextmanager
def show_progress(*, visible: bool) -> Iterator[None]:
    """Draw the progress that stages report on stderr, since scripts read stdout."""
    if not visible:
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    tasks: dict[str, TaskID] = {}
    progress = Progress(*columns, console=Console(stderr=True, highlight=False), refresh_per_second=5)

    def draw(report: ProgressReport) -> None:
        task = tasks.get(report.stage)
        if task is None:
            # Not before: without any task, a progress display prints an empty line.
            progress.start()
            task = tasks[report.stage] = progress.add_task(report.stage, unit=report.unit, rate="", total=report.total)
        speed = progress.tasks[task].finished_speed or progress.tasks[task].speed
        progress.update(task, completed=report.done, total=report.total, rate=f"{speed:,.0f}/s" if speed else "")

    try:
        with progress_listener(draw):
            yield
    finally:
        if tasks:
            progress.stop()
