"""Survey a whole installation, from the sources to the live spaces, and invalidate what is damaged."""

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Engine

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.retention import get_previous_space
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.db.spaces.text_kinds import Kind
from rag_assets.embedding.model import find_space_model
from rag_assets.errors import ServiceError
from rag_assets.pipeline.repair.damage import Damage
from rag_assets.pipeline.repair.survey_documents import survey_chunks, survey_documents
from rag_assets.pipeline.repair.survey_spaces import survey_live_space, survey_settings, survey_space
from rag_assets.pipeline.target.wanted_space import Target, current_space
from rag_assets.projects.store import partition_names
from rag_assets.settings.settings import Settings


def survey_installation(engine: Engine, settings: Settings, targets: Mapping[Kind, Target]) -> Iterator[Damage]:
    """Everything that differs from what runs would have written; changes nothing."""
    with engine.connect() as connection:
        projects = partition_names(connection)
    for project in projects:
        yield from survey_documents(engine, settings, project)
    for kind, target in targets.items():
        spaces = _maintained_spaces(engine, kind, target)
        for space in spaces:
            try:
                find_space_model(space)
            except ServiceError as error:
                yield Damage(kind, "model_missing", f"space {space.id}", 0, [str(error)], mendable=False)
                continue
            yield from survey_settings(engine, space, target.definition, kind)
            if kind == "chunks":
                for project in projects:
                    yield from survey_chunks(engine, settings, project, space)
            yield from survey_space(engine, settings, space, kind)
        # A kind of texts that was never embedded is not damaged.
        if spaces or (kind == "chunks" and projects):
            yield from survey_live_space(engine, kind)


def _maintained_spaces(engine: Engine, kind: Kind, target: Target) -> list[EmbeddingSpace]:
    """The spaces that runs keep up to date: the wanted one if it exists, the live one, and the previous one."""
    with engine.connect() as connection:
        others = get_live_space(connection, kind), get_previous_space(connection, kind)
    found = [current_space(engine, target.definition), *others]
    return list({space.id: space for space in found if space is not None}.values())


def invalidate_damage(damages: Sequence[Damage]) -> None:
    """Remove wrong rows and the stamps that vouch for them, so that they are pending for the next run.

    Nothing is written in their place here: only the runs that ingest write rows.
    """
    for damage in damages:
        if damage.invalidate is not None:
            damage.invalidate()
