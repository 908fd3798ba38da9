"""Which columns of which assets each derived column comes from, for Dagster's column lineage."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from rag_assets.orchestration.scope import PipelineScope

_FROM_TEXT = (
    "chunk_index",
    "chunk_text",
    "content_hash",
    "char_start",
    "char_end",
    "token_count",
    "heading_path",
    "header",
)
_TEXT = ("raw_documents", "content")
_CHUNK_TEXT, _HEADER = ("chunks", "chunk_text"), ("chunks", "header")

# {asset: {column: [(asset, column), ...]}}
COLUMN_SOURCES: Mapping[str, Mapping[str, Sequence[tuple[str, str]]]] = {
    "chunks": {
        "document_id": [("raw_documents", "id")],
        **{column: [_TEXT] for column in _FROM_TEXT},
        "page": [("raw_documents", "parse_report")],
    },
    "embeddings": {"content_hash": [("chunks", "content_hash")], "embedding": [_CHUNK_TEXT, _HEADER]},
    "live_space": {
        "id": [("chunks", "id")],
        "content": [_CHUNK_TEXT, _HEADER],
        "embedding": [("embeddings", "embedding")],
        "metadata": [
            *(("raw_documents", column) for column in ("metadata", "title")),
            *(("chunks", column) for column in ("metadata", "heading_path", "header", "page")),
            *(("chunks", column) for column in ("chunk_index", "char_start", "char_end")),
        ],
        "source": [("raw_documents", "file_path")],
        "document_id": [("chunks", "document_id")],
        "header": [_HEADER],
        "page": [("chunks", "page")],
    },
}


def lineage_metadata(key: dg.AssetKey, scope: PipelineScope | None = None) -> dict[str, Any]:
    """For a materialization of the asset; empty for an asset without column lineage."""
    scope = scope or PipelineScope(tuple(key.path[:-1]))
    asset = scope.asset_name(key)
    if asset not in COLUMN_SOURCES:
        return {}
    lineage = {
        column: [dg.TableColumnDep(scope.key(name), source) for name, source in sources]
        for column, sources in COLUMN_SOURCES[asset].items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(lineage)}
