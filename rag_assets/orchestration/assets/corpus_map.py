"""corpus_map: a picture of the vectors in the live space."""

import dagster as dg

from rag_assets.orchestration.io.metadata import figures_metadata
from rag_assets.orchestration.scope import PipelineScope

# Increase it when the same vectors are drawn differently: it is the asset's code version.
DRAWING = 1


def corpus_map_asset(scope: PipelineScope) -> dg.AssetsDefinition:
    # Not part of the job `ingest`: drawing takes longer than a refresh with nothing to do.
    @dg.asset(
        key=scope.key("corpus_map"),
        deps=[scope.key("live_space")],
        required_resource_keys={scope.postgres_key},
        group_name="pictures",
        kinds={"python"},
    )
    @scope.executed
    def corpus_map(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """A map of the corpus: a sample of the live space's texts on their two principal components, by project."""
        from rag_assets.db.spaces.spaces import get_live_space
        from rag_assets.errors import ServiceError
        from rag_assets.pipeline.audit.corpus_map import map_corpus
        from rag_assets.pipeline.charts.plots import scatter

        engine = scope.postgres(context).engine
        with engine.connect() as connection:
            space = get_live_space(connection)
        if space is None:
            raise ServiceError("there is nothing to draw: no space is live; materialize live_space first.")
        corpus = map_corpus(engine, space)
        figures = {
            "space": space.id,
            "texts": sum(map(len, corpus.dots.values())),
            "projects": len(corpus.dots),
            "variance_shown": round(sum(corpus.explained), 4),
            "map": dg.MetadataValue.md(scatter("Texts by project (principal components)", corpus.dots)),
        }
        return dg.MaterializeResult(metadata=figures_metadata(figures))

    return corpus_map
