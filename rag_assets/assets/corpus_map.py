"""corpus_map: a picture of what is in the index."""

import dagster as dg

from rag_assets.assets.index import live_space
from rag_assets.resources.postgres import Postgres


# In a group of its own: an ingest has no use for it, and drawing takes longer than a refresh with nothing to do.
@dg.asset(deps=[live_space], group_name="pictures", kinds={"python"})
def corpus_map(postgres: Postgres) -> dg.MaterializeResult[None]:
    """A map of the corpus: texts of the live space on the two axes along which they differ most, a colour a project."""
    from rag_assets.audit.corpus_map import corpus_map as drawn
    from rag_assets.charts.drawing import scatter
    from rag_assets.db.spaces import live_space
    from rag_assets.errors import ServiceError

    with postgres.engine.connect() as connection:
        space = live_space(connection)
    if space is None:
        raise ServiceError("there is nothing to draw: no space is live; materialize live_space first.")
    found = drawn(postgres.engine, space)
    return dg.MaterializeResult(
        metadata={
            "space": space.id,
            "texts": sum(map(len, found.dots.values())),
            "projects": len(found.dots),
            "variance_shown": round(sum(found.explained), 4),
            "map": dg.MetadataValue.md(scatter("Texts by project (principal components)", found.dots)),
        }
    )
