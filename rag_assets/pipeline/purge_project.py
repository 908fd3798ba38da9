"""A project with everything that was made of it, removed for good."""

from contextlib import ExitStack

from sqlalchemy import Engine, select

from rag_assets.db.locks import hold_lock
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.reports.counts import ProjectCounts, count_project
from rag_assets.projects.store import get_project
from rag_assets.repositories.operations import projects
from rag_assets.settings.settings import Settings


def purge_project(engine: Engine, settings: Settings, name: str) -> tuple[ProjectCounts, int]:
    """What was stored of it, and how many vectors went: those that no other project needs.

    Raises BusyError where a run has the project in hand for longer than RAG_ASSETS_LOCK_WAIT_S.
    """
    with engine.connect() as connection:
        get_project(connection, name)
        spaces = connection.scalars(select(EmbeddingSpace.id).where(EmbeddingSpace.kind == "chunks")).all()
    # In the order in which runs take them, so that neither waits for the other for ever.
    locks = [f"raw_documents of {name}", f"chunks of {name}"]
    for space in sorted(spaces):
        locks += [f"embeddings of {name} in space {space}", f"vectors of space {space}"]
    with ExitStack() as held:
        for lock in locks:
            held.enter_context(hold_lock(engine, lock, wait_s=settings.lock_wait_s))
        with engine.begin() as connection:
            counts = count_project(connection, name)
            return counts, projects.delete(connection, name)
