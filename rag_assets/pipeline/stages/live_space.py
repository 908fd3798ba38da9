"""Which space is live: the wanted one once it is proved, or the one that people choose; and when old spaces go."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, func, literal, select
from sqlalchemy.orm import Session

from rag_assets.db.connections.retry import run_idempotent_write, run_repeatable
from rag_assets.db.index.state import index_state
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces import retention, spaces
from rag_assets.db.spaces.partitions import count_vectors
from rag_assets.db.spaces.pending import changed_without_vectors, staged_document_ids
from rag_assets.db.spaces.text_kinds import Kind
from rag_assets.db.writes.kept_counts import count_space_vectors
from rag_assets.db.writes.prune import prune_chunkings
from rag_assets.db.writes.publishing import MOST_DOCUMENTS, publish_documents
from rag_assets.errors import IntegrityError, ServiceError, UsageError
from rag_assets.pipeline.stages.concurrent_runs import TRANSIENT_FAILURES, wait_for_concurrent_runs
from rag_assets.pipeline.target.wanted_space import Target
from rag_assets.settings.settings import Settings
from rag_assets.tracing import span

if TYPE_CHECKING:
    from rag_assets.search.execution.query_embedding import MakeEncoder

MAX_CHECKS = 5
# A document that a transaction changes has the time at which that began.
LONGEST_WRITE = timedelta(minutes=1)
# A space that fails one of these answers wrongly or not at all: --force does not override them.
NEVER_FORCED = ("vectors_are_sound", "index_valid", "index_used")


@dataclass(frozen=True, slots=True)
class Promotion:
    """What a change of the live space did; `seconds` is the time of its transaction.

    `promoted` is False when the space was live already; `overridden` has the failed checks, by name, that --force
    overrode.
    """

    space: EmbeddingSpace
    live_before: EmbeddingSpace | None
    promoted: bool
    seconds: float
    overridden: dict[str, str] = field(default_factory=dict)


def promote_wanted_space(
    engine: Engine, settings: Settings, target: Target, encoder: "MakeEncoder | None" = None
) -> dict[str, Any]:
    """Make the wanted space live if its checks pass, and drop the spaces that were kept long enough; returns figures.

    A space that was rolled back from stays held back, and one whose texts wait in batches at an embedding server is
    left to a later run. Raises IntegrityError when a check of the wanted space fails.
    """
    with span("live_space"):
        return _promote_wanted_space(engine, settings, target, encoder)


def _promote_wanted_space(
    engine: Engine, settings: Settings, target: Target, encoder: "MakeEncoder | None"
) -> dict[str, Any]:
    started = time.perf_counter()
    with engine.begin() as connection:
        wanted = spaces.ensure_space(connection, target.definition)
        if wanted.rolled_back_at is None:
            retention.allow_promotion_of_others(connection, wanted)
        before = spaces.get_live_space(connection, wanted.kind)
    held_back = before is not None and wanted.rolled_back_at is not None
    chosen = before if before is not None and held_back else wanted
    for _ in range(MAX_CHECKS):
        with engine.connect() as connection:
            checked_at = connection.scalar(select(func.now() - literal(LONGEST_WRITE)))
        if before is None or before.id != chosen.id:
            failed = _lasting_failures(engine, settings, chosen, encoder)
            if failed.keys() == {"texts_have_vectors"} and (waiting := _count_texts_in_batches(engine, chosen)):
                return {
                    **({"space": before.id} if before is not None else {}),
                    "promoted": False,
                    "texts_in_batches": waiting,
                    "seconds": round(time.perf_counter() - started, 3),
                }
            if failed:
                raise IntegrityError(_refusal(chosen, before, failed))
        with engine.begin() as connection:
            now = _lock_live_space(connection, wanted.kind)
            if now is not None and (before is None or now.id != before.id):
                # The live space was changed meanwhile, perhaps by a rollback: the later decision wins.
                chosen = now
            is_other = now is None or now.id != chosen.id
            # A document that changed hands since the checks may lack vectors in this space.
            if is_other and connection.scalar(select(changed_without_vectors(chosen, checked_at))):
                continue
            promoted = spaces.set_live_space(connection, chosen)
            break
    else:
        raise ServiceError("documents change while the new space is being checked; run again when they do not.")
    if promoted:
        _publish_complete_documents(engine, wanted.kind)
    # After the commit: dropping may touch many rows, and nobody should wait for the live space meanwhile.
    dropped = drop_expired_spaces(engine, settings, wanted)
    return {
        "space": chosen.id,
        "model": chosen.model,
        "revision": chosen.revision,
        "dimensions": chosen.dimensions,
        "promoted": promoted,
        **({"held_back_space": wanted.id} if held_back else {}),
        **({"replaced_space": now.id} if promoted and now is not None and now.id != chosen.id else {}),
        "spaces_dropped": dropped,
        "seconds": round(time.perf_counter() - started, 3),
        "dagster/row_count": count_space_vectors(engine, chosen),
    }


def drop_expired_spaces(engine: Engine, settings: Settings, wanted: EmbeddingSpace) -> int:
    """Drop the spaces of the wanted one's kind that were kept long enough; returns how many."""
    with engine.connect() as connection:
        expired = retention.expired_spaces(connection, wanted, settings.previous_space_days)
    return sum(_drop_unless_busy(engine, space_id, wanted.kind) for space_id in expired)


def failed_promotion_checks(
    engine: Engine, settings: Settings, space: EmbeddingSpace, encoder: "MakeEncoder | None" = None
) -> dict[str, str]:
    """The reasons why this space may not be live, by the name of the check; empty when it may."""
    from rag_assets.pipeline.audit.promotion import promotion_checks

    results = promotion_checks(engine, settings, space, encoder)
    return {name: result.reason for name, result in results.items() if result.blocks}


def _lasting_failures(
    engine: Engine, settings: Settings, space: EmbeddingSpace, encoder: "MakeEncoder | None"
) -> dict[str, str]:
    """The failures that remain after concurrent runs have finished, or after RAG_ASSETS_LOCK_WAIT_S."""
    end = time.monotonic() + settings.lock_wait_s
    failed = failed_promotion_checks(engine, settings, space, encoder)
    waited = True
    while waited and failed and failed.keys() <= TRANSIENT_FAILURES:
        # Check once more even if no run works now: one may have ended since the last check.
        waited = wait_for_concurrent_runs(engine, space, end)
        failed = failed_promotion_checks(engine, settings, space, encoder)
    return failed


def promote_space(
    engine: Engine,
    settings: Settings,
    space_id: int,
    definition_of: Callable[[Kind], spaces.SpaceDefinition],
    encoder: "MakeEncoder | None" = None,
    *,
    force: bool = False,
) -> Promotion:
    """Make this space live, as the asset would. `force` promotes it despite failed checks that leave it searchable.

    `definition_of` gives the space that the settings ask for, by kind: it is held back when it makes way for another.
    Raises IntegrityError that names the failed checks.
    """
    return run_repeatable(engine, _promote_space, engine, settings, space_id, definition_of, encoder, force=force)


def _promote_space(
    engine: Engine,
    settings: Settings,
    space_id: int,
    definition_of: Callable[[Kind], spaces.SpaceDefinition],
    encoder: "MakeEncoder | None",
    *,
    force: bool,
) -> Promotion:
    space = find_space(engine, space_id)
    with engine.connect() as connection:
        before = spaces.get_live_space(connection, space.kind)
    if space.status == "retired":
        with engine.begin() as connection:
            retention.allow_promotion(connection, space.id)
        raise IntegrityError(
            f"space {space.id} was retired, and its vectors are gone; it is no longer held back: "
            "run rag-assets ingest to build it again, if the settings ask for it."
        )
    is_live = before is not None and before.id == space.id
    failed = {} if is_live else failed_promotion_checks(engine, settings, space, encoder)
    if failed and not force:
        raise IntegrityError(f"{_refusal(space, before, failed)} Or add --force, where you know better.")
    never = {name: reason for name, reason in failed.items() if name in NEVER_FORCED}
    if failed and not _has_vectors(engine, space):
        never["texts_have_vectors"] = "it holds no vectors at all"
    if never:
        raise IntegrityError(f"{_refusal(space, before, never)} This cannot be forced.")
    wanted = definition_of(space.kind).fingerprint
    return _make_live(engine, space, hold_back=before is not None and before.fingerprint == wanted, overridden=failed)


def roll_back(engine: Engine, kind: str = "chunks") -> Promotion:
    """Make the previous space live again, in one short transaction, and hold back the one that was live until now.

    Raises UsageError when no previous space is kept, and IntegrityError when its index cannot serve searches.
    """
    return _make_live(engine, run_repeatable(engine, _space_to_return_to, engine, kind), hold_back=True)


def _space_to_return_to(engine: Engine, kind: str) -> EmbeddingSpace:
    with engine.connect() as connection:
        space, live = retention.get_previous_space(connection, kind), spaces.get_live_space(connection, kind)
        if space is None or live is None:
            raise UsageError(
                f"there is nothing to roll back to: no previous space of {kind} is kept; "
                "rag-assets spaces list shows the spaces that exist."
            )
        state = index_state(connection, space)
    if not state.serves:
        raise IntegrityError(
            f"the index of space {space.id} is {state.value}, so searches stay in space {live.id}; "
            "run rag-assets ingest, which builds it, then roll back again."
        )
    return space


def drop_space(engine: Engine, settings: Settings, space_id: int) -> EmbeddingSpace:
    """Drop a space that is not live, with its vectors and index, and its chunks if no other space uses them.

    Raises UsageError for the live space, and ServiceError while a run is writing to it.
    """
    space = run_repeatable(engine, find_space, engine, space_id)
    if space.status == "live":
        raise UsageError(
            f"space {space.id} is live, and searches need it; promote another one first (rag-assets spaces promote)."
        )
    run_repeatable(engine, _drop, engine, space.id, space.kind, wait_s=settings.lock_wait_s)
    return space


def find_space(engine: Engine, space_id: int) -> EmbeddingSpace:
    """The space with this number; raises UsageError that lists the spaces that exist."""
    with Session(engine, expire_on_commit=False) as session:
        space = session.get(EmbeddingSpace, space_id)
        if space is None:
            known = session.scalars(select(EmbeddingSpace.id).order_by(EmbeddingSpace.id))
            existing = ", ".join(map(str, known)) or "none; run rag-assets ingest first"
            raise UsageError(f"there is no space {space_id}; spaces that exist: {existing}.")
    return space


def _make_live(
    engine: Engine, space: EmbeddingSpace, *, hold_back: bool, overridden: dict[str, str] | None = None
) -> Promotion:
    started = time.perf_counter()

    def flip(connection: Connection) -> tuple[EmbeddingSpace | None, bool]:
        before = _lock_live_space(connection, space.kind)
        promoted = spaces.set_live_space(connection, space)
        if hold_back and before is not None and before.id != space.id:
            retention.block_promotion(connection, before.id)
        return before, promoted

    before, promoted = run_idempotent_write(engine, flip)
    if promoted:
        _publish_complete_documents(engine, space.kind)
    return Promotion(space, before, promoted, time.perf_counter() - started, overridden or {})


def _publish_complete_documents(engine: Engine, kind: Kind) -> None:
    """What waited for vectors in another space may have them in this one."""
    if kind != "chunks":
        return
    with engine.connect() as connection:
        staged = connection.scalars(staged_document_ids()).all()
    for start in range(0, len(staged), MOST_DOCUMENTS):
        run_idempotent_write(engine, publish_documents, staged[start : start + MOST_DOCUMENTS], live_only=True)


def _lock_live_space(connection: Connection, kind: str) -> EmbeddingSpace | None:
    """The live space, which no other promotion replaces before this transaction ends."""
    spaces.lock_spaces(connection)
    return spaces.get_live_space(connection, kind)


def _count_texts_in_batches(engine: Engine, space: EmbeddingSpace) -> int:
    """The texts that wait at an embedding server, if no other text lacks its vector."""
    from rag_assets.pipeline.audit.vectors import texts_have_vectors

    result = texts_have_vectors(engine, space)
    return int(result.metadata.get("in_batches", 0)) if result.warning else 0


def _has_vectors(engine: Engine, space: EmbeddingSpace) -> bool:
    with engine.connect() as connection:
        return count_vectors(connection, space) > 0


def _drop(engine: Engine, space_id: int, kind: str, *, wait_s: float) -> int:
    """Retire the space, remove what it alone used, then the space: killed in between, it is still there to be dropped.

    Its chunks are removed in a transaction of their own: there may be many, and no promotion should wait for that.
    """
    with hold_lock(engine, f"vectors of space {space_id}", wait_s=wait_s):
        with engine.begin() as connection:
            retention.retire_space(connection, space_id)
        if kind == "chunks":
            prune_chunkings(engine)
        with engine.begin() as connection:
            spaces.lock_spaces(connection)
            return spaces.drop_retired_spaces(connection, space_id=space_id)


def _drop_unless_busy(engine: Engine, space_id: int, kind: str) -> int:
    """Drop the space, unless a run is writing to it: then the next promotion or maintenance does."""
    try:
        return _drop(engine, space_id, kind, wait_s=0)
    except ServiceError:
        return 0


def _refusal(space: EmbeddingSpace, before: EmbeddingSpace | None, failed: dict[str, str]) -> str:
    reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
    where = "no space" if before is None else f"space {before.id}"
    return (
        f"space {space.id} ({space.model}) does not serve yet: {reasons}. Searches go on in {where}; "
        "fix this, then run again."
    )
