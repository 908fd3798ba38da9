"""Rename a project, or delete it for good with everything that was derived from it, while no run works on it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy import Engine, select

from rag_assets.db.locks import hold_lock
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.reports.counts import ProjectCounts, count_project
from rag_assets.projects.store import get_project
from rag_assets.repositories.operations import projects
from rag_assets.settings.settings import Settings


def purge_project(engine: Engine, settings: Settings, name: str) -> tuple[ProjectCounts, int]:
    """Delete the project; returns what it had stored, and how many vectors were deleted with it.

    Vectors that another project uses stay. Raises BusyError when a run works on the project for longer than
    RAG_ASSETS_LOCK_WAIT_S.
    """
    with _exclude_runs(engine, settings, name), engine.begin() as connection:
        counts = count_project(connection, name)
        return counts, projects.delete(connection, name)


def rename_project(engine: Engine, settings: Settings, name: str, new_name: str) -> None:
    """Give the project another name; nothing is read, split or embedded again.

    Raises BusyError as `purge_project` does.
    """
    with _exclude_runs(engine, settings, name), engine.begin() as connection:
        projects.rename(connection, name, new_name)


@contextmanager
def _exclude_runs(engine: Engine, settings: Settings, name: str) -> Iterator[None]:
    """Hold the locks of all stages of the project."""
    with engine.connect() as connection:
        get_project(connection, name)
        spaces = connection.scalars(select(EmbeddingSpace.id).where(EmbeddingSpace.kind == "chunks")).all()
    # In the order in which runs take them, to avoid a deadlock.
    locks = [f"raw_documents of {name}", f"chunks of {name}"]
    for space in sorted(spaces):
        locks += [f"embeddings of {name} in space {space}", f"vectors of space {space}"]
    with ExitStack() as held:
        for lock in locks:
            held.enter_context(hold_lock(engine, lock, wait_s=settings.lock_wait_s))
        yield
