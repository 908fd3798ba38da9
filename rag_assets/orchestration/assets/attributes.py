"""What the UI shows of every asset: its owners, its group, its code version and a link to its source."""

import warnings
from collections.abc import Mapping, Sequence

import dagster as dg

from rag_assets.documents.text import fingerprint
from rag_assets.documents.versions import (
    READER_VERSIONS,
    document_library_version,
    pdf_library_version,
    recognition_version,
    splitter_version,
)
from rag_assets.errors import UsageError
from rag_assets.orchestration.assets.corpus_map import DRAWING
from rag_assets.orchestration.assets.registered_tables import asset_names
from rag_assets.orchestration.assets.sources import SOURCES, Translate
from rag_assets.orchestration.scope import PipelineScope
from rag_assets.settings.settings import Settings


def translated_keys(
    scope: PipelineScope, assets: Sequence[dg.AssetsDefinition], translate: Translate
) -> tuple[tuple[str, dg.AssetKey], ...]:
    """The keys that the translation gives to the assets, by plain name."""
    specs = [spec for asset in assets for spec in asset.specs]
    if scope.observes_sources:
        specs.append(dg.AssetSpec(scope.key(SOURCES)))
    names = {scope.asset_name(spec.key): spec for spec in specs}
    found = tuple((name, translate(name, spec).key) for name, spec in names.items())
    duplicate = next((key for _, key in found if [other for _, other in found].count(key) > 1), None)
    if duplicate is not None:
        raise UsageError(
            f"the translation gives the key {duplicate.to_user_string()} to several assets; put the asset's name into "
            "it, like 'library/{{ asset }}'."
        )
    return found


def add_attributes(
    scope: PipelineScope, assets: Sequence[dg.AssetsDefinition], translate: Translate | None = None
) -> Sequence[dg.AssetsDefinition]:
    """The assets with owners, groups, code versions and links to their source, then as the translation changes them."""
    settings = scope.settings
    versions = code_versions(settings, scope.registered_kinds)

    def add(spec: dg.AssetSpec) -> dg.AssetSpec:
        name = scope.asset_name(spec.key)
        ours = spec.replace_attributes(
            owners=settings.owners, group_name=scope.group or spec.group_name, code_version=versions.get(name)
        )
        if translate is None:
            return ours
        return translate(name, ours.replace_attributes(key=scope.plain_key(name))).replace_attributes(key=spec.key)

    with warnings.catch_warnings():
        # Source code references are still marked as beta in Dagster 1.13.
        warnings.simplefilter("ignore", dg.BetaWarning)
        found = dg.with_source_code_references(dg.map_asset_specs(add, assets))
    return [asset for asset in found if isinstance(asset, dg.AssetsDefinition)]


def code_versions(settings: Settings, registered_kinds: Sequence[str] = ()) -> Mapping[str, str]:
    """The code version of each asset: it changes exactly when the asset would make something else of the same input.

    It therefore depends on settings and on versions of libraries, not on this package's code.
    """
    model = (settings.model, settings.model_revision, settings.document_prompt)
    vectors = (*model, settings.dimensions, settings.normalize)
    split, whole = (*model, splitter_version()), (*model, splitter_version(plain_text=True))
    # IVFFlat has neither m nor ef_construction.
    graph = (settings.hnsw_m, settings.hnsw_ef_construction) if settings.index_method == "hnsw" else ()
    index = (settings.dimensions, settings.distance, settings.index_method, settings.index_storage, *graph)
    inputs = {
        "raw_documents": (
            READER_VERSIONS,
            document_library_version(),
            pdf_library_version(),
            recognition_version(),
            settings.max_document_mb,
        ),
        "chunks": (*split, settings.chunk_tokens, settings.overlap_tokens, settings.chunk_fill),
        "embeddings": vectors,
        "message_embeddings": (*vectors, *whole),
        "memory_embeddings": (*vectors, *whole),
        **dict.fromkeys(("hnsw_index", "message_index", "memory_index"), index),
        # Another query prompt asks for another space, with the same vectors.
        **dict.fromkeys(("live_space", "live_messages", "live_memories"), (settings.query_prompt,)),
        "corpus_map": (DRAWING,),
    }
    for kind in registered_kinds:
        inputs |= dict(zip(asset_names(kind), ((*vectors, *whole), index, (settings.query_prompt,)), strict=True))
    return {name: fingerprint(name, *parts) for name, parts in inputs.items()}
