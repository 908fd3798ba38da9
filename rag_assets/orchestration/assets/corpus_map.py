"""corpus_map: a picture of what is in the index."""

import dagster as dg

from rag_assets.orchestration.scope import Pipeline

# Raise it when the same vectors come out as another picture.
DRAWING = 1


def corpus_map(pipeline: Pipeline) -> dg.AssetsDefinition:
    # In a group of its own: an ingest has no use for it, and drawing takes longer than a refresh with nothing to do.
    @dg.asset(
        key=pipeline.key("corpus_map"),
        deps=[pipeline.key("live_space")],
        required_resource_keys={pipeline.postgres_key},
        group_name="pictures",
        kinds={"python"},
    )
    def corpus_map(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """A map of the corpus: texts of the live space on the axes along which they differ most, a colour a project."""
        from rag_assets.db.spaces.spaces import get_live_space
        from rag_assets.errors import ServiceError
        from rag_assets.pipeline.audit.corpus_map import corpus_map as drawn
        from rag_assets.pipeline.charts.plots import scatter

        engine = pipeline.postgres(context).engine
        with engine.connect() as connection:
            space = get_live_space(connection)
        if space is None:
            raise ServiceError("there is nothing to draw: no space is live; materialize live_space first.")
        found = drawn(engine, space)
        return dg.MaterializeResult(
            metadata={
                "space": space.id,
                "texts": sum(map(len, found.dots.values())),
                "projects": len(found.dots),
                "variance_shown": round(sum(found.explained), 4),
                "map": dg.MetadataValue.md(scatter("Texts by project (principal components)", found.dots)),
            }
        )

    return corpus_map
