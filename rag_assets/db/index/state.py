"""The states of a space's index, what leads from each to a valid one, and how the server tells them apart."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, text

from rag_assets.db.index.definition import index_definition, index_name, lists_for
from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.spaces.spaces import partition_name


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
        """Whether searches get from it what the space promises, if not as well as they could."""
        return self in (IndexState.VALID, IndexState.BLOATED, IndexState.DEGRADED)


class Way(StrEnum):
    NOTHING = "nothing"
    WAIT = "wait until its builder is done or gone, then look again"
    BUILD = "remove what is left over, then build"
    REPLACE = "build another one beside it, exchange their names, remove it"


# Every way ends in one valid index; a crash on it leaves one of these states, from which the next run goes on.
TRANSITIONS: Mapping[IndexState, Way] = {
    # The table has no index of ours.
    IndexState.ABSENT: Way.BUILD,
    # There is none that serves, and a backend is at work on one: of another run, or of one whose client was killed.
    IndexState.BUILDING: Way.WAIT,
    # A concurrent build died, and `IF NOT EXISTS` would hide its leftover for ever.
    IndexState.INVALID: Way.BUILD,
    # Other operators, storage or parameters than the space has; or lists for far fewer or far more rows.
    IndexState.STALE: Way.REPLACE,
    # Deleted vectors take more of it than `Thresholds.dead_share`; vacuum lets new ones have their place, no more.
    IndexState.BLOATED: Way.REPLACE,
    # It finds less than `Thresholds.recall`, and less than when it was built: else another one would do no better.
    IndexState.DEGRADED: Way.REPLACE,
    IndexState.VALID: Way.NOTHING,
}

# Lists are chosen by the number of rows; an index is left alone until they are off by more than this factor.
_LISTS_OFF = 4
# What dead entries take of a small index is nobody's concern.
_LEAST_DEAD_BYTES = 1_000_000
# Recall is measured on some fifty questions, and varies by so much when nothing has changed.
_RECALL_NOISE = 0.01


@dataclass(frozen=True, slots=True)
class Thresholds:
    dead_share: float = 0.5
    recall: float = 0.95


DEFAULT_THRESHOLDS = Thresholds()


@dataclass(frozen=True, slots=True)
class Examined:
    """An index as it was found; `name` is that of the one in use, or the one that it would have.

    `leftovers` are others of ours on the same table, `builder` the process id of the backend that is building one,
    `dead_share` the share of its bytes that deleted vectors take, None where that is not known.
    """

    state: IndexState
    name: str
    bytes: int = 0
    dead_share: float | None = None
    leftovers: tuple[str, ...] = ()
    builder: int | None = None


def examine(
    connection: Connection,
    space: EmbeddingSpace,
    *,
    rows: int | None = None,
    recall: float | None = None,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
) -> Examined:
    """Look at the index of a space; `rows` where they were counted, else the server's estimate serves.

    It can be found degraded only where its `recall` was measured.
    """
    table = f"{SCHEMA}.{partition_name(space.id)}"
    known = connection.execute(_INDEXES, {"table": table, "name": index_name(space)}).all()
    rows = connection.scalar(_ESTIMATE, {"table": table}) if rows is None else rows
    # The newest one as wanted, then whatever serves, then what does not: a crash may have left several.
    ranked = sorted(known, key=lambda one: (one.valid and _is_wanted(one, space, rows), one.valid, one.oid))
    settled = len(ranked) == 1 and ranked[0].valid
    builder = None if settled else connection.scalar(_BUILDER, {"table": table})
    if not ranked:
        return Examined(IndexState.BUILDING if builder else IndexState.ABSENT, index_name(space), builder=builder)
    chosen = ranked[-1]
    note = _note(chosen.note)
    dead = _dead_share(chosen.bytes, note, rows)
    if not chosen.valid:
        state = IndexState.BUILDING if builder else IndexState.INVALID
    elif not _is_wanted(chosen, space, rows):
        state = IndexState.STALE
    elif dead is not None and dead > thresholds.dead_share and dead * chosen.bytes > _LEAST_DEAD_BYTES:
        state = IndexState.BLOATED
    elif recall is not None and recall < min(thresholds.recall, note.get("recall", 1.0) - _RECALL_NOISE):
        state = IndexState.DEGRADED
    else:
        state = IndexState.VALID
    leftovers = tuple(one.name for one in ranked[:-1])
    return Examined(state, chosen.name, chosen.bytes, dead, leftovers, builder)


def index_state(connection: Connection, space: EmbeddingSpace) -> IndexState:
    return examine(connection, space).state


def index_in_use(connection: Connection, space: EmbeddingSpace) -> str:
    """The name that plans of searches show."""
    return examine(connection, space).name


def index_bytes(connection: Connection, space: EmbeddingSpace) -> int:
    """Size on disk, 0 where there is no index."""
    return examine(connection, space).bytes


def note_of(rows: int, bytes_: int, recall: float | None = None) -> str:
    """What is kept with an index as its comment: by it one sees later how it has changed since it was built."""
    return json.dumps({"rows": rows, "bytes": bytes_} | ({} if recall is None else {"recall": round(recall, 4)}))


def _is_wanted(index: Any, space: EmbeddingSpace, rows: float | None) -> bool:
    found = re.search(r"lists='(\d+)'", index.definition)
    lists = int(found[1]) if found else 1
    if index.definition != index_definition(space, index.name, lists=lists):
        return False
    # Less than none is the server's word for a table that was never looked at.
    if space.method != "ivfflat" or rows is None or rows < 0:
        return True
    wanted = lists_for(int(rows))
    return max(lists, wanted) <= _LISTS_OFF * min(lists, wanted)


def _note(comment: str | None) -> dict[str, Any]:
    try:
        note = json.loads(comment or "{}")
    except ValueError:
        return {}
    return note if isinstance(note, dict) else {}


def _dead_share(bytes_: int, note: dict[str, Any], rows: float | None) -> float | None:
    """By how much larger it is, for the rows that there are, than it was when it was built."""
    if not note.get("rows") or not bytes_ or rows is None or rows < 0:
        return None
    grown: float = rows * note["bytes"] / note["rows"] / bytes_
    return max(0.0, 1 - grown)


# Names that begin like ours are ours: what the next build, an exchange of names or a REINDEX left behind.
_INDEXES = text(
    "SELECT c.oid::bigint AS oid, c.relname AS name, i.indisvalid AND i.indisready AS valid, "
    "pg_get_indexdef(c.oid) AS definition, pg_relation_size(c.oid) AS bytes, "
    "obj_description(c.oid, 'pg_class') AS note FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
    "WHERE i.indrelid = to_regclass(:table) AND (c.relname = :name OR starts_with(c.relname, :name || '_'))"
)
_BUILDER = text("SELECT pid FROM pg_stat_progress_create_index WHERE relid = to_regclass(:table) ORDER BY pid LIMIT 1")
_ESTIMATE = text("SELECT reltuples FROM pg_class WHERE oid = to_regclass(:table)")
