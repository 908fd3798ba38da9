"""The spaces that a run keeps up to date: the wanted one, and those beside it that must stay fresh."""

import logging
from collections.abc import Sequence

from sqlalchemy import Engine

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces import spaces
from rag_assets.embedding.model import find_space_model
from rag_assets.errors import ServiceError
from rag_assets.pipeline.target.wanted_space import Target

_log = logging.getLogger(__name__)


def maintained_spaces(engine: Engine, target: Target) -> Sequence[EmbeddingSpace]:
    """The wanted space first, then the live one until the promotion, and the previous one while it is kept.

    Of the others, a space whose model is no longer available is left as it is: it must not block the wanted one.
    """
    with engine.begin() as connection:
        wanted, *others = spaces.spaces_to_maintain(connection, target.definition)
    return [wanted, *(space for space in others if _has_model(space))]


def maintained_spaces_wanted_last(engine: Engine, target: Target) -> Sequence[EmbeddingSpace]:
    """Texts that arrive meanwhile then have a vector in the wanted space too, and do not block its promotion."""
    return maintained_spaces(engine, target)[::-1]


def _has_model(space: EmbeddingSpace) -> bool:
    try:
        find_space_model(space)
    except ServiceError as error:
        _log.warning("the %s space %s is not kept up to date: %s", space.status, space.id, error)
        return False
    return True
