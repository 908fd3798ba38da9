"""Which spaces a run brings up to date: the one that is to serve, and those beside it that must stay fresh."""

import logging
from collections.abc import Sequence

from sqlalchemy import Engine

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces import spaces
from rag_assets.embedding.model import find_model
from rag_assets.errors import ServiceError
from rag_assets.pipeline.target.wanted_space import Target

_log = logging.getLogger(__name__)


def maintained(engine: Engine, target: Target) -> Sequence[EmbeddingSpace]:
    """The space that is to serve, then those beside it: the live one until the flip, the previous one while it is kept.

    One beside it whose model is no longer to be had stays as it is: that must not keep the other from taking its place.
    """
    with engine.begin() as connection:
        first, *beside = spaces.spaces_to_maintain(connection, target.definition)
    return [first, *(space for space in beside if _model_is_there(space))]


def live_first(engine: Engine, target: Target) -> Sequence[EmbeddingSpace]:
    """What comes in between is then in the wanted space alone, and does not keep it from taking over."""
    return maintained(engine, target)[::-1]


def _model_is_there(space: EmbeddingSpace) -> bool:
    try:
        find_model(space.model, space.revision)
    except ServiceError as error:
        _log.warning("the %s space %s is not kept up to date: %s", space.status, space.id, error)
        return False
    return True
