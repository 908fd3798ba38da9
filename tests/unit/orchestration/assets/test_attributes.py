"""Attributes of the assets in the UI: group, kinds, description, source link, code version and column lineage."""

import dagster as dg
import pytest

from rag_assets.db.models import Base
from rag_assets.db.schema.live_view import LIVE_COLUMNS
from rag_assets.definitions import defs
from rag_assets.orchestration.assets.attributes import code_versions
from rag_assets.orchestration.io.column_lineage import COLUMN_SOURCES, lineage_metadata
from rag_assets.settings.settings import Settings

TABLES = {"raw_documents": "rag.documents", "chunks": "rag.document_chunks", "embeddings": "rag.embeddings"}


def columns(asset: str) -> set[str]:
    return set(LIVE_COLUMNS) if asset == "live_space" else set(Base.metadata.tables[TABLES[asset]].columns.keys())


def test_every_asset_has_group_kinds_description_and_source_link() -> None:
    for spec in defs.resolve_all_asset_specs():
        assert spec.group_name != "default"
        assert spec.kinds
        assert len(spec.description or "") > 40
        links = spec.metadata["dagster/code_references"]
        assert isinstance(links, dg.CodeReferencesMetadataValue)
        [link] = links.code_references
        assert "/rag_assets/orchestration/assets/" in str(link)


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({}, set()),
        ({"max_document_mb": 1}, {"raw_documents"}),
        ({"chunk_tokens": 100}, {"chunks"}),
        ({"overlap_tokens": 10}, {"chunks"}),
        ({"chunk_fill": "full"}, {"chunks"}),
        ({"hnsw_m": 32}, {"hnsw_index", "message_index", "memory_index"}),
        ({"index_storage": "halfvec"}, {"hnsw_index", "message_index", "memory_index"}),
        ({"model": "another"}, {"chunks", "embeddings", "message_embeddings", "memory_embeddings"}),
        ({"document_prompt": "passage: "}, {"chunks", "embeddings", "message_embeddings", "memory_embeddings"}),
        ({"normalize": False}, {"embeddings", "message_embeddings", "memory_embeddings"}),
        ({"distance": "l2"}, {"hnsw_index", "message_index", "memory_index"}),
        ({"query_prompt": "query: "}, {"live_space", "live_messages", "live_memories"}),
        ({"ef_search": 200, "pool_size": 9, "batch_tokens": 64, "device": "cpu"}, set()),
    ],
)
def test_a_code_version_changes_exactly_when_its_output_changes(change: dict[str, object], changed: set[str]) -> None:
    before, after = code_versions(Settings()), code_versions(Settings(**change))  # type: ignore[arg-type]
    assert {name for name in before if before[name] != after[name]} == changed


def test_assets_have_their_code_versions() -> None:
    found = {spec.key.path[-1]: spec.code_version for spec in defs.resolve_all_asset_specs()}
    assert found == dict(code_versions(Settings()))


def test_hnsw_settings_do_not_change_the_version_of_ivfflat() -> None:
    ivfflat = {"index_method": "ivfflat"}
    assert code_versions(Settings(**ivfflat, hnsw_m=32)) == code_versions(Settings(**ivfflat))  # type: ignore[arg-type]
    assert code_versions(Settings(**ivfflat)) != code_versions(Settings())  # type: ignore[arg-type]


def test_the_parser_version_changes_the_version_of_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_versions(Settings())
    monkeypatch.setattr("rag_assets.orchestration.assets.attributes.document_library_version", lambda: "99.0")
    after = code_versions(Settings())
    assert {name for name in before if before[name] != after[name]} == {"raw_documents"}


@pytest.mark.parametrize("asset", COLUMN_SOURCES)
def test_column_lineage_names_existing_columns(asset: str) -> None:
    lineage = lineage_metadata(dg.AssetKey(asset))["dagster/column_lineage"]
    assert isinstance(lineage, dg.TableColumnLineage)
    assert set(lineage.deps_by_column) <= columns(asset)
    for sources in lineage.deps_by_column.values():
        assert sources
        for source in sources:
            assert source.column_name in columns(source.asset_key.path[-1])


def test_assets_without_upstreams_have_no_lineage() -> None:
    assert lineage_metadata(dg.AssetKey("raw_documents")) == {}
    assert lineage_metadata(dg.AssetKey("message_embeddings")) == {}
