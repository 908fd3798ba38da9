"""The shapes of the JSON output of commands, which scripts depend on: no key may be missing or added."""

from typing import Any

CHECK = {"asset": str, "name": str, "passed": bool, "severity": str, "metadata": dict}
INGEST = {
    "project": str,
    "documents": dict.fromkeys(("seen", "new", "changed", "unchanged", "deleted", "failed"), int),
    "chunks": dict.fromkeys(("total", "written", "deleted"), int),
    "texts": dict.fromkeys(("distinct", "embedded", "reused"), int),
    "vectors": int,
    "remarks": [{"project": str, "file_path": str, "notes": [str]}],
    "seconds": dict.fromkeys(("total", "raw_documents", "chunks", "embeddings", "hnsw_index", "live_space"), float),
    "checks": [CHECK],
    "run_ids": [str],
}
HIT = {
    "rank": int,
    "score": float,
    "project": str,
    "file_path": str,
    "title": (str, type(None)),
    "chunk_id": str,
    "chunk_index": int,
    "char_start": int,
    "char_end": int,
    "text": str,
}
# More than the required keys: what a citation needs, and how the query was answered.
SEARCH = {
    "query": str,
    "space": int,
    "took_ms": float,
    "hits": [
        HIT
        | {
            "heading_path": [str],
            "document_id": str,
            "file_type": str,
            "source_version": (str, type(None)),
            "header": (str, type(None)),
            "page": (int, type(None)),
            "recognised": bool,
            "parts": dict,
            "context": (str, type(None)),
            "copies": list,
            "ranks": dict,
        }
    ],
    "embedding_ms": float,
    "timings": dict,
    "rerank_ms": float,
    "mode": str,
    "plan": str,
    "considered": int,
    "ef_search": (int, type(None)),
    "degraded": (dict, type(None)),
    "staleness_s": (float, type(None)),
    "excluded": [str],
    "corrected": dict,
}
EMBED = {
    "kind": str,
    "days": (list, type(None)),
    "texts": dict.fromkeys(("distinct", "embedded", "reused", "longer_than_window"), int),
    "vectors": dict.fromkeys(("stored", "removed"), int),
    "seconds": float,
    "checks": [CHECK],
    "run_ids": [str],
}
DAMAGE = {"kind": str, "what": str, "where": str, "rows": int, "examples": [str], "mendable": bool}
REPAIR = {"dry_run": bool, "damage": [DAMAGE], "left": [DAMAGE], "checks": [CHECK], "run_ids": [str]}
CHECKS = {"checks": [CHECK], "run_ids": [str]}
PROJECTS = {
    "projects": [
        {
            "name": str,
            "source": str,
            "description": (str, type(None)),
            "settings": dict,
            "declared_in": (str, type(None)),
            "state": str,
            "refreshed_at": (str, type(None)),
            "failed": dict,
        }
    ]
}
HEALTH = {"healthy": bool, "checks": [{"name": str, "healthy": bool, "detail": str}]}
STATUS = {
    "database": {
        "name": str,
        "url": str,
        "server": str,
        "pgvector": (str, type(None)),
        "schema_revision": (str, type(None)),
        "schema_head": str,
        "bytes": int,
    },
    "pool": dict.fromkeys(
        ("size", "maximum", "in_use", "idle", "waiting", "served", "timeouts", "opened", "recycled"), int
    ),
    "connections": dict.fromkeys(("open", "active", "idle", "idle_in_transaction", "allowed"), int),
    "projects": [
        {"name": str, "source": str}
        | dict.fromkeys(
            (
                "documents",
                "failed",
                "chunks",
                "texts",
                "vectors",
                "documents_to_chunk",
                "texts_to_embed",
                "documents_waiting",
            ),
            int,
        )
    ],
    "pending": dict.fromkeys(("documents_to_chunk", "texts_to_embed", "messages_to_embed", "memories_to_embed"), int),
    "failed_documents": [{"project": str, "file_path": str, "reason": str}],
    "unknown_alphabets": [{"project": str, "file_path": str, "unknown_share": float, "model": str}],
    "undecoded_documents": [{"project": str, "file_path": str, "replaced_characters": int}],
    "remarks": [{"project": str, "file_path": str, "notes": [str]}],
    "spaces": [
        dict.fromkeys(("id", "dimensions", "vectors", "bytes", "index_bytes", "documents_left", "texts_left"), int)
        | dict.fromkeys(
            (
                "kind",
                "status",
                "model",
                "revision",
                "method",
                "storage",
                "distance",
                "chunking",
                "index",
                "index_state",
            ),
            str,
        )
        | {"seconds_left": (float, type(None))}
        | dict.fromkeys(("stepped_back_at", "rolled_back_at"), (str, type(None)))
    ],
    "degraded": [dict.fromkeys(("space", "texts", "missing"), int)],
}


def assert_shape(found: Any, shape: Any, where: str = "$") -> None:
    if isinstance(shape, dict):
        assert isinstance(found, dict), (where, found)
        assert found.keys() == shape.keys(), (where, found.keys() ^ shape.keys())
        for key, inner in shape.items():
            assert_shape(found[key], inner, f"{where}.{key}")
    elif isinstance(shape, list):
        assert isinstance(found, list), (where, found)
        for number, one in enumerate(found):
            assert_shape(one, shape[0], f"{where}[{number}]")
    else:
        wanted = shape if isinstance(shape, tuple) else (shape,)
        assert type(found) in wanted, (where, found)
