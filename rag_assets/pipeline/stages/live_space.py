"""Which space serves: the proved one, or the one that people choose; and what becomes of the others."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, select
from sqlalchemy.orm import Session

from rag_assets.db.index.state import index_state
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces import retention, spaces
from rag_assets.db.spaces.partitions import count_vectors
from rag_assets.db.spaces.text_kinds import Kind
from rag_assets.db.writes.prune import prune_chunkings
from rag_assets.embedding.encoder import Encoder
from rag_assets.errors import IntegrityError, ServiceError, UsageError
from rag_assets.pipeline.stages.concurrent_runs import PASSING, wait_for_others
from rag_assets.settings.settings import Settings

MakeEncoder = Callable[[EmbeddingSpace], Encoder]

# A space that fails one of these answers wrongly or not at all, whatever one is ready to put up with.
NEVER_FORCED = ("vectors_are_sound", "index_valid", "index_used")


@dataclass(frozen=True, slots=True)
class Flip:
    """What a change of the pointer did; `seconds` is the time of its transaction."""

    space: EmbeddingSpace
    before: EmbeddingSpace | None
    flipped: bool
    seconds: float
    overridden: dict[str, str] = field(default_factory=dict)


def serve(
    engine: Engine, settings: Settings, definition: spaces.SpaceDefinition, encoder: MakeEncoder | None
) -> dict[str, Any]:
    """Let the wanted space serve if it passes all that guards it, and drop spaces that were kept long enough.

    A space that was rolled back from stays where it is. Raises IntegrityError where the wanted space is not proved.
    """
    started = time.perf_counter()
    with engine.begin() as connection:
        wanted = spaces.ensure_space(connection, definition)
        if wanted.rolled_back_at is None:
            retention.allow_promotion_of_others(connection, wanted)
        before = spaces.get_live_space(connection, wanted.kind)
    held = before is not None and wanted.rolled_back_at is not None
    chosen = before if before is not None and held else wanted
    if before is None or before.id != chosen.id:
        failed = _lasting_failures(engine, settings, chosen, encoder)
        if failed:
            raise IntegrityError(_refusal(chosen, before, failed))
    with engine.begin() as connection:
        now = _locked_live(connection, wanted.kind)
        if now is not None and (before is None or now.id != before.id):
            # Somebody has flipped meanwhile, perhaps rolled back: theirs is the newer word.
            chosen = now
        flipped = spaces.set_live_space(connection, chosen)
        vectors = count_vectors(connection, chosen)
    # After the flip's commit: these may be many rows, and nobody should wait for the pointer meanwhile.
    dropped = drop_expired(engine, settings, wanted)
    return {
        "space": chosen.id,
        "model": chosen.model,
        "revision": chosen.revision,
        "dimensions": chosen.dimensions,
        "flipped": flipped,
        **({"held_back": wanted.id} if held else {}),
        **({"instead_of": now.id} if flipped and now is not None and now.id != chosen.id else {}),
        "spaces_dropped": dropped,
        "seconds": round(time.perf_counter() - started, 3),
        "dagster/row_count": vectors,
    }


def drop_expired(engine: Engine, settings: Settings, wanted: EmbeddingSpace) -> int:
    """Drop the spaces of the wanted one's kind that were kept long enough; returns how many."""
    with engine.connect() as connection:
        expired = retention.expired_spaces(connection, wanted, settings.previous_space_days)
    dropped = sum(_drop(engine, space_id, wait_s=0) for space_id in expired)
    if dropped and wanted.kind == "chunks":
        prune_chunkings(engine)
    return dropped


def failures(
    engine: Engine, settings: Settings, space: EmbeddingSpace, encoder: MakeEncoder | None = None
) -> dict[str, str]:
    """What keeps this space from serving, by the name of the check; empty when nothing does."""
    from rag_assets.pipeline.audit.promotion import proofs

    found = proofs(engine, settings, space, encoder)
    return {name: finding.reason for name, finding in found.items() if not finding.passed}


def _lasting_failures(
    engine: Engine, settings: Settings, space: EmbeddingSpace, encoder: MakeEncoder | None
) -> dict[str, str]:
    """The failures that are left when other runs have done their work, or when they take longer than a lock may."""
    end = time.monotonic() + settings.lock_wait_s
    failed = failures(engine, settings, space, encoder)
    waited = True
    while waited and failed and failed.keys() <= PASSING:
        # Looked at once more even if nobody works now: a run may have ended since the checks.
        waited = wait_for_others(engine, space, end)
        failed = failures(engine, settings, space, encoder)
    return failed


def promote(
    engine: Engine,
    settings: Settings,
    space_id: int,
    definition_of: Callable[[Kind], spaces.SpaceDefinition],
    encoder: MakeEncoder | None = None,
    *,
    force: bool = False,
) -> Flip:
    """Let this space serve, as the asset would; `force` overrides what a space can be searched in spite of.

    `definition_of` gives the space that the settings ask for, by kind: it is held back where it makes way for another.
    Raises IntegrityError that names the checks that do not pass.
    """
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
    failed = {} if before is not None and before.id == space.id else failures(engine, settings, space, encoder)
    if failed and not force:
        raise IntegrityError(f"{_refusal(space, before, failed)} Or add --force, where you know better.")
    never = {name: reason for name, reason in failed.items() if name in NEVER_FORCED}
    if failed and not _has_vectors(engine, space):
        never["texts_have_vectors"] = "it holds no vectors at all"
    if never:
        raise IntegrityError(f"{_refusal(space, before, never)} This cannot be forced.")
    wanted = definition_of(space.kind).fingerprint
    found = _flip(engine, space, hold=before is not None and before.fingerprint == wanted)
    return Flip(found.space, found.before, found.flipped, found.seconds, failed)


def roll_back(engine: Engine, kind: str = "chunks") -> Flip:
    """Let the previous space serve again, in one short transaction, and hold the one back that served until now.

    Raises UsageError where no previous space is kept, and IntegrityError where its index cannot serve.
    """
    with engine.connect() as connection:
        space, live = retention.get_previous_space(connection, kind), spaces.get_live_space(connection, kind)
        if space is None or live is None:
            raise UsageError(
                f"there is nothing to roll back to: no previous space of {kind} is kept; "
                "rag-assets spaces list shows those that are there."
            )
        state = index_state(connection, space)
    if not state.serves:
        raise IntegrityError(
            f"the index of space {space.id} is {state.value}, so searches stay in space {live.id}; "
            "run rag-assets ingest, which builds it, then roll back again."
        )
    return _flip(engine, space, hold=True)


def retire(engine: Engine, settings: Settings, space_id: int) -> EmbeddingSpace:
    """Drop the partition and the index of a space that does not serve, at once; its chunks go with the last of them.

    Raises UsageError for the live space, and ServiceError while a run is writing to it.
    """
    space = find_space(engine, space_id)
    if space.status == "live":
        raise UsageError(
            f"space {space.id} is live, and searches need it; promote another one first (rag-assets spaces promote)."
        )
    _drop(engine, space.id, wait_s=settings.lock_wait_s)
    if space.kind == "chunks":
        prune_chunkings(engine)
    return space


def find_space(engine: Engine, space_id: int) -> EmbeddingSpace:
    with Session(engine, expire_on_commit=False) as session:
        space = session.get(EmbeddingSpace, space_id)
        if space is None:
            known = session.scalars(select(EmbeddingSpace.id).order_by(EmbeddingSpace.id))
            there = ", ".join(map(str, known)) or "none; run rag-assets ingest first"
            raise UsageError(f"there is no space {space_id}; those that there are: {there}.")
    return space


def _flip(engine: Engine, space: EmbeddingSpace, *, hold: bool) -> Flip:
    started = time.perf_counter()
    with engine.begin() as connection:
        before = _locked_live(connection, space.kind)
        flipped = spaces.set_live_space(connection, space)
        if hold and before is not None and before.id != space.id:
            retention.block_promotion(connection, before.id)
    return Flip(space, before, flipped, time.perf_counter() - started)


def _locked_live(connection: Connection, kind: str) -> EmbeddingSpace | None:
    """The live space, which no other flip replaces before this transaction ends."""
    spaces.lock_spaces(connection)
    return spaces.get_live_space(connection, kind)


def _has_vectors(engine: Engine, space: EmbeddingSpace) -> bool:
    with engine.connect() as connection:
        return count_vectors(connection, space) > 0


def _drop(engine: Engine, space_id: int, *, wait_s: float) -> int:
    """Retire the space and drop what it holds; with no time to wait, one that a run writes to is left to the next."""
    try:
        with hold_lock(engine, f"vectors of space {space_id}", wait_s=wait_s), engine.begin() as connection:
            retention.retire_space(connection, space_id)
            return spaces.drop_retired_spaces(connection, space_id=space_id)
    except ServiceError:
        if wait_s:
            raise
        return 0


def _refusal(space: EmbeddingSpace, before: EmbeddingSpace | None, failed: dict[str, str]) -> str:
    reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
    where = "no space" if before is None else f"space {before.id}"
    return (
        f"space {space.id} ({space.model}) does not serve yet: {reasons}. Searches go on in {where}; "
        "mend this, then run again."
    )
