"""What the UI says of every asset: whose it is, the version of what makes it, and where its code is."""

import warnings
from collections.abc import Mapping, Sequence

import dagster as dg

from rag_assets.documents.text import fingerprint
from rag_assets.documents.versions import READER_VERSION, document_library_version, splitter_version
from rag_assets.orchestration.assets.corpus_map import DRAWING
from rag_assets.orchestration.assets.registered_tables import asset_names
from rag_assets.orchestration.scope import Pipeline
from rag_assets.settings.settings import Settings


def described(pipeline: Pipeline, assets: Sequence[dg.AssetsDefinition]) -> Sequence[dg.AssetsDefinition]:
    """The assets with owners, groups, code versions and links to their source."""
    settings = pipeline.settings
    versions = code_versions(settings, pipeline.registered_kinds)

    def describe(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.replace_attributes(
            owners=settings.owners,
            group_name=pipeline.group or spec.group_name,
            code_version=versions[spec.key.path[-1]],
        )

    with warnings.catch_warnings():
        # Links to source code may still change in Dagster; it is pinned.
        warnings.simplefilter("ignore", dg.BetaWarning)
        found = dg.with_source_code_references(dg.map_asset_specs(describe, assets))
    return [one for one in found if isinstance(one, dg.AssetsDefinition)]


def code_versions(settings: Settings, registered_kinds: Sequence[str] = ()) -> Mapping[str, str]:
    """Each changes exactly when what the asset makes of the same input would: with settings and libraries, not code."""
    model = (settings.model, settings.model_revision, settings.document_prompt)
    vectors = (*model, settings.dimensions, settings.normalize)
    cut = (*model, splitter_version())
    # Lists have neither links nor construction.
    graph = (settings.hnsw_m, settings.hnsw_ef_construction) if settings.index_method == "hnsw" else ()
    index = (settings.dimensions, settings.distance, settings.index_method, settings.index_storage, *graph)
    made = {
        "raw_documents": (READER_VERSION, document_library_version(), settings.max_document_mb),
        "chunks": (*cut, settings.chunk_tokens, settings.overlap_tokens),
        "embeddings": vectors,
        "message_embeddings": (*vectors, *cut),
        "memory_embeddings": (*vectors, *cut),
        **dict.fromkeys(("hnsw_index", "message_index", "memory_index"), index),
        # Another prompt of questions is another space, with the same vectors.
        **dict.fromkeys(("live_space", "live_messages", "live_memories"), (settings.query_prompt,)),
        "corpus_map": (DRAWING,),
    }
    for kind in registered_kinds:
        made |= dict(zip(asset_names(kind), ((*vectors, *cut), index, (settings.query_prompt,)), strict=True))
    return {name: fingerprint(name, *parts) for name, parts in made.items()}
