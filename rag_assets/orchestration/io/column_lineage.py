"""Which columns of which assets each derived column is made of, for Dagster's picture of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

_CUT = ("chunk_index", "chunk_text", "content_hash", "char_start", "char_end", "token_count", "heading_path")
_TEXT = ("raw_documents", "content")

# By asset and column: (asset, column).
MADE_OF: Mapping[str, Mapping[str, Sequence[tuple[str, str]]]] = {
    "chunks": {"document_id": [("raw_documents", "id")], **{column: [_TEXT] for column in _CUT}},
    "embeddings": {"content_hash": [("chunks", "content_hash")], "embedding": [("chunks", "chunk_text")]},
    "live_space": {
        "id": [("chunks", "id")],
        "content": [("chunks", "chunk_text")],
        "embedding": [("embeddings", "embedding")],
        "metadata": [
            *(("raw_documents", column) for column in ("metadata", "title")),
            *(("chunks", column) for column in ("metadata", "heading_path", "chunk_index", "char_start", "char_end")),
        ],
        "source": [("raw_documents", "file_path")],
        "document_id": [("chunks", "document_id")],
    },
}


def lineage_metadata(key: dg.AssetKey) -> dict[str, Any]:
    """For a materialization of the asset; nothing for one whose columns are made of no other's."""
    *prefix, asset = key.path
    if asset not in MADE_OF:
        return {}
    made = {
        column: [dg.TableColumnDep(dg.AssetKey([*prefix, name]), of) for name, of in sources]
        for column, sources in MADE_OF[asset].items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(made)}
