"""The states of a space's index, the action for each, and how a state is determined."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, text

from rag_assets.db.index.definition import index_definition, index_name, lists_for
from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.spaces.partitions import table_names


class IndexState(StrEnum):
    ABSENT = "absent"
    BUILDING = "building"
    INVALID = "invalid"
    STALE = "stale"
    BLOATED = "bloated"
    DEGRADED = "degraded"
    VALID = "valid"

    @property
    def serves(self) -> bool:
        """Whether searches can use the index, perhaps with less speed or recall than a new one would give."""
        return self in (IndexState.VALID, IndexState.BLOATED, IndexState.DEGRADED)


class IndexAction(StrEnum):
    NOTHING = "nothing"
    WAIT = "wait until its builder has finished or is gone, then inspect again"
    BUILD = "drop leftovers, then build"
    REPLACE = "build a new index beside it, swap their names, drop it"


# Every action ends with one valid index. A crash leaves one of these states, from which the next run continues.
ACTIONS: Mapping[IndexState, IndexAction] = {
    # The table has no index of this package.
    IndexState.ABSENT: IndexAction.BUILD,
    # No valid index, and a backend is building one: for another run, or for a client that was killed.
    IndexState.BUILDING: IndexAction.WAIT,
    # A concurrent build failed; with `IF NOT EXISTS` its leftover would stay unnoticed.
    IndexState.INVALID: IndexAction.BUILD,
    # Another operator class, storage or parameters than those of the space, or lists for far fewer or more rows.
    IndexState.STALE: IndexAction.REPLACE,
    # Deleted vectors take more than `IndexThresholds.dead_share` of it; VACUUM lets new ones reuse it, no more.
    IndexState.BLOATED: IndexAction.REPLACE,
    # Recall is below `IndexThresholds.recall` and lower than after the build: otherwise a rebuild would not help.
    IndexState.DEGRADED: IndexAction.REPLACE,
    IndexState.VALID: IndexAction.NOTHING,
}

# A space is in the first of these states that one of its parts is in. The build waits for others before it begins.
_WORST_FIRST = (
    *(IndexState.BUILDING, IndexState.INVALID, IndexState.ABSENT, IndexState.STALE),
    *(IndexState.BLOATED, IndexState.DEGRADED, IndexState.VALID),
)
# The number of lists depends on the rows; the index is kept until it is off by more than this factor.
_MAX_LISTS_FACTOR = 4
# Fewer bytes of dead entries do not matter.
_MIN_DEAD_BYTES = 1_000_000
# Recall is measured with about fifty queries, and varies by this much without any change.
_RECALL_NOISE = 0.01


@dataclass(frozen=True, slots=True)
class IndexThresholds:
    dead_share: float = 0.5
    recall: float = 0.95


DEFAULT_THRESHOLDS = IndexThresholds()


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """The index of a space; `name` is the name of the index in use, or the name that it would get.

    `leftovers` are further indexes of this package on the table, `builder` is the process id of the backend that is
    building one, and `dead_share` the share of bytes that deleted vectors take, None if unknown. For a space with
    several parts, `state` is the worst of theirs.
    """

    state: IndexState
    name: str
    bytes: int = 0
    dead_share: float | None = None
    leftovers: tuple[str, ...] = ()
    builder: int | None = None


def index_identity(connection: Connection, space: EmbeddingSpace) -> str:
    """The name, the file and the validity of each index in use: others after each build, and once one is damaged."""
    statement = text(
        "SELECT pg_relation_filenode(indexrelid) || ' ' || indisvalid "
        "FROM pg_index WHERE indexrelid = to_regclass(:name)"
    )
    return " ".join(
        f"{name} {connection.scalar(statement, {'name': f'{SCHEMA}.{name}'})}"
        for name in used_index_names(connection, space)
    )


def inspect_index(
    connection: Connection,
    space: EmbeddingSpace,
    *,
    rows: int | None = None,
    recall: float | None = None,
    thresholds: IndexThresholds = DEFAULT_THRESHOLDS,
) -> IndexInfo:
    """Inspect the index of a space; without a count of its vectors in `rows` it uses the server's estimate.

    Without a measured `recall` the state is never degraded.
    """
    return combine_parts(space, inspect_parts(connection, space, rows=rows, recall=recall, thresholds=thresholds))


def inspect_parts(
    connection: Connection,
    space: EmbeddingSpace,
    *,
    rows: int | None = None,
    recall: float | None = None,
    thresholds: IndexThresholds = DEFAULT_THRESHOLDS,
) -> dict[str, IndexInfo]:
    """The same of each table of the space; their rows are as many, since hashes divide them."""
    each = None if rows is None else rows // space.parts
    return {name: _inspect_table(connection, space, name, each, recall, thresholds) for name in table_names(space)}


def combine_parts(space: EmbeddingSpace, parts: Mapping[str, IndexInfo]) -> IndexInfo:
    """The index of the space as a whole: it serves where that of each part does."""
    found = list(parts.values())
    if len(found) == 1:
        return found[0]
    return IndexInfo(
        min((part.state for part in found), key=_WORST_FIRST.index),
        index_name(space),
        sum(part.bytes for part in found),
        max((part.dead_share for part in found if part.dead_share is not None), default=None),
        tuple(name for part in found for name in part.leftovers),
        next((part.builder for part in found if part.builder is not None), None),
    )


def _inspect_table(
    connection: Connection,
    space: EmbeddingSpace,
    name: str,
    rows: float | None,
    recall: float | None,
    thresholds: IndexThresholds,
) -> IndexInfo:
    table = f"{SCHEMA}.{name}"
    indexes = connection.execute(_INDEXES, {"table": table, "name": index_name(space, name)}).all()
    rows = connection.scalar(_ESTIMATE, {"table": table}) if rows is None else rows
    # The newest with the wanted definition ranks last, after valid and invalid ones: a crash may have left several.
    ranked = sorted(indexes, key=lambda one: (one.valid and _is_wanted(one, space, name, rows), one.valid, one.oid))
    single_valid = len(ranked) == 1 and ranked[0].valid
    builder = None if single_valid else connection.scalar(_BUILDER, {"table": table})
    if not ranked:
        state = IndexState.BUILDING if builder else IndexState.ABSENT
        return IndexInfo(state, index_name(space, name), builder=builder)
    chosen = ranked[-1]
    note = _parse_comment(chosen.comment)
    dead = _dead_share(chosen.bytes, note, rows)
    if not chosen.valid:
        state = IndexState.BUILDING if builder else IndexState.INVALID
    elif not _is_wanted(chosen, space, name, rows):
        state = IndexState.STALE
    elif dead is not None and dead > thresholds.dead_share and dead * chosen.bytes > _MIN_DEAD_BYTES:
        state = IndexState.BLOATED
    elif recall is not None and recall < min(thresholds.recall, note.get("recall", 1.0) - _RECALL_NOISE):
        state = IndexState.DEGRADED
    else:
        state = IndexState.VALID
    leftovers = tuple(one.name for one in ranked[:-1])
    return IndexInfo(state, chosen.name, chosen.bytes, dead, leftovers, builder)


def index_state(connection: Connection, space: EmbeddingSpace) -> IndexState:
    return inspect_index(connection, space).state


def used_index_names(connection: Connection, space: EmbeddingSpace) -> list[str]:
    """The names of the indexes that searches use, as EXPLAIN shows them: one of each part."""
    return [part.name for part in inspect_parts(connection, space).values()]


def index_bytes(connection: Connection, space: EmbeddingSpace) -> int:
    """The size on disk, 0 without an index."""
    return inspect_index(connection, space).bytes


def index_comment(rows: int, bytes_: int, recall: float | None = None) -> str:
    """The comment of a new index: its rows, size and recall, with which its later state is compared."""
    return json.dumps({"rows": rows, "bytes": bytes_} | ({} if recall is None else {"recall": round(recall, 4)}))


def _is_wanted(index: Any, space: EmbeddingSpace, table: str, rows: float | None) -> bool:
    found = re.search(r"lists='(\d+)'", index.definition)
    lists = int(found[1]) if found else 1
    if index.definition != index_definition(space, index.name, table, lists=lists):
        return False
    # PostgreSQL reports -1 rows for a table that was never analyzed.
    if space.method != "ivfflat" or rows is None or rows < 0:
        return True
    wanted = lists_for(int(rows))
    return max(lists, wanted) <= _MAX_LISTS_FACTOR * min(lists, wanted)


def _parse_comment(comment: str | None) -> dict[str, Any]:
    try:
        note = json.loads(comment or "{}")
    except ValueError:
        return {}
    return note if isinstance(note, dict) else {}


def _dead_share(bytes_: int, note: dict[str, Any], rows: float | None) -> float | None:
    """The share of the index that the present rows do not account for, by the bytes per row after the build."""
    if not note.get("rows") or not bytes_ or rows is None or rows < 0:
        return None
    live_share: float = rows * note["bytes"] / note["rows"] / bytes_
    return max(0.0, 1 - live_share)


# Names with our prefix are ours: leftovers of a build, a swap of names, or a REINDEX.
_INDEXES = text(
    "SELECT c.oid::bigint AS oid, c.relname AS name, i.indisvalid AND i.indisready AS valid, "
    "pg_get_indexdef(c.oid) AS definition, pg_relation_size(c.oid) AS bytes, "
    "obj_description(c.oid, 'pg_class') AS comment FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
    "WHERE i.indrelid = to_regclass(:table) AND (c.relname = :name OR starts_with(c.relname, :name || '_'))"
)
# By database too: in one that was copied from this one, the table has the same oid.
_BUILDER = text(
    "SELECT pid FROM pg_stat_progress_create_index WHERE relid = to_regclass(:table) "
    "AND datname = current_database() ORDER BY pid LIMIT 1"
)
_ESTIMATE = text("SELECT reltuples FROM pg_class WHERE oid = to_regclass(:table)")
