"""What people see while it runs: a live line a stage."""

from collections.abc import Iterator
from contextlib import contextmanager

from rag_assets.pipeline.progress import Step, listening


@contextmanager
def shown() -> Iterator[None]:
    """Draw the progress that stages report, on stderr, so that stdout stays what scripts read."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True, highlight=False), refresh_per_second=5) as progress:

        def draw(step: Step) -> None:
            task = tasks.get(step.stage)
            if task is None:
                task = tasks[step.stage] = progress.add_task(step.stage, unit=step.unit, rate="", total=step.total)
            speed = progress.tasks[task].finished_speed or progress.tasks[task].speed
            progress.update(task, completed=step.done, total=step.total, rate=f"{speed:,.0f}/s" if speed else "")

        with listening(draw):
            yield
