"""repair: the whole installation by what is really in its tables, from the sources to the pointers."""

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Engine

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.retention import get_previous_space
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.db.spaces.text_kinds import Kind
from rag_assets.embedding.model import find_model
from rag_assets.errors import ServiceError
from rag_assets.pipeline.repair.damage import Damage
from rag_assets.pipeline.repair.survey_documents import survey_chunks, survey_documents
from rag_assets.pipeline.repair.survey_spaces import survey_pointer, survey_settings, survey_space
from rag_assets.pipeline.target.wanted_space import Target, begun_space
from rag_assets.projects.store import partition_names
from rag_assets.settings.settings import Settings


def survey(engine: Engine, settings: Settings, targets: Mapping[Kind, Target]) -> list[Damage]:
    """All that differs from what runs would have made; changes nothing."""
    return list(_survey(engine, settings, targets))


def void(damages: Sequence[Damage]) -> None:
    """Remove what is wrong, and the stamps that call it right: from then on it is pending, as anything new is.

    Nothing is written in its place here. That is left to the runs that ingest, so that there is one way to write.
    """
    for damage in damages:
        if damage.void is not None:
            damage.void()


def _survey(engine: Engine, settings: Settings, targets: Mapping[Kind, Target]) -> Iterator[Damage]:
    with engine.connect() as connection:
        projects = partition_names(connection)
    for project in projects:
        yield from survey_documents(engine, settings, project)
    for kind, target in targets.items():
        spaces = _spaces(engine, kind, target)
        for space in spaces:
            try:
                find_model(space.model, space.revision)
            except ServiceError as error:
                yield Damage(kind, "model_missing", f"space {space.id}", 0, [str(error)], mendable=False)
                continue
            yield from survey_settings(engine, space, target.definition, kind)
            if kind == "chunks":
                for project in projects:
                    yield from survey_chunks(engine, settings, project, space)
            yield from survey_space(engine, settings, space, kind)
        # What nobody ever embedded is not damaged.
        if spaces or (kind == "chunks" and projects):
            yield from survey_pointer(engine, kind)


def _spaces(engine: Engine, kind: Kind, target: Target) -> list[EmbeddingSpace]:
    """What runs keep up to date: the wanted space as far as it was begun, the live one, and the previous one."""
    with engine.connect() as connection:
        beside = get_live_space(connection, kind), get_previous_space(connection, kind)
    found = [begun_space(engine, target.definition), *beside]
    return list({space.id: space for space in found if space is not None}.values())
