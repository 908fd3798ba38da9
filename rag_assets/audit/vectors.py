"""The proof that a space may serve: complete, sound, indexed, used, fast, exact enough. Facts, with their numbers."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Engine, Select, exists, func, select, table

from rag_assets.audit import charts, latency, recall
from rag_assets.audit.finding import EXAMPLES, Finding
from rag_assets.audit.integrity import documents_have_chunks
from rag_assets.audit.plans import GOES_ON_AT, goes_on, searching, served_by_index
from rag_assets.db.index_states import examine, index_in_use
from rag_assets.db.models import SCHEMA, DocumentChunk, EmbeddingFailure, EmbeddingSpace
from rag_assets.db.pending import count_pending_texts, count_texts, has_text
from rag_assets.db.soundness import unsound
from rag_assets.db.spaces import live_space, partition
from rag_assets.db.texts import texts_of
from rag_assets.search.approximate import graph_values
from rag_assets.settings import Settings

if TYPE_CHECKING:
    from rag_assets.search.query_vectors import MakeEncoder

_ONE_OF = {"chunks": "chunk", "messages": "message", "memories": "memory"}


def proofs(
    engine: Engine, settings: Settings, space: EmbeddingSpace, encoder: "MakeEncoder | None" = None
) -> dict[str, Finding]:
    """All that must hold before this space may serve, under the names of the checks."""
    of_kind = _proofs_of_chunks(engine, space) if space.kind == "chunks" else _proofs_of_whole_texts(engine, space)
    found = {
        **of_kind,
        "vectors_are_sound": vectors_are_sound(engine, space),
        "index_valid": index_valid(engine, space),
        "index_used": index_used(engine, space),
        "search_latency": search_latency(engine, space, settings),
        "recall_at_10": recall_at_10(engine, space, settings),
    }
    if space.kind == "chunks" and all(finding.passed for finding in found.values()):
        # Asked last, and of a space that can be searched: the questions may be many.
        from rag_assets.audit.no_worse import answers_no_worse

        found["answers_no_worse"] = answers_no_worse(engine, settings, space, encoder)
    return found


def _proofs_of_whole_texts(engine: Engine, space: EmbeddingSpace) -> dict[str, Finding]:
    return {"nothing_is_lost": nothing_is_lost(engine, space)}


def _proofs_of_chunks(engine: Engine, space: EmbeddingSpace) -> dict[str, Finding]:
    return {
        "documents_have_chunks": documents_have_chunks(engine, space.chunking),
        "texts_have_vectors": texts_have_vectors(engine, space),
        "no_orphan_vectors": no_orphan_vectors(engine, space),
    }


def texts_have_vectors(engine: Engine, space: EmbeddingSpace, *, due: ColumnElement[bool] | None = None) -> Finding:
    """Every distinct text has its vector; the primary key allows only one.

    `due` is a condition on texts whose vectors may be expected: those of some projects, or that came before a run.
    """
    reasons = (
        select(EmbeddingFailure.error)
        .where(EmbeddingFailure.space_id == space.id)
        .where(has_text(space, EmbeddingFailure.content_hash))
        .limit(EXAMPLES)
    )
    with engine.connect() as connection:
        texts, missing = (
            connection.scalar(count if due is None else count.where(due)) or 0
            for count in (count_texts(space), count_pending_texts(space))
        )
        set_aside = connection.scalars(reasons).all()
    return Finding(
        missing == 0,
        {"space": space.id, "texts": texts, "missing": missing, "threshold": 0, "set_aside": list(set_aside)},
        f"{missing} of {texts} distinct texts have no vector",
    )


def nothing_is_lost(engine: Engine, space: EmbeddingSpace) -> Finding:
    """Every text that searches find in the live space has its vector in this one too.

    More is not asked of messages and memories, which come in while runs are on their way.
    """
    with engine.connect() as connection:
        live = live_space(connection, space.kind)
        if live is None:
            return Finding(True, {"space": space.id})
        found = exists().where(partition(live.id).c.content_hash == texts_of(space).content_hash)
        texts = connection.scalar(count_texts(space).where(found)) or 0
        lost = connection.scalar(count_pending_texts(space).where(found)) or 0
    return Finding(
        lost == 0,
        {"space": space.id, "live": live.id, "texts": texts, "lost": lost, "threshold": 0},
        f"{lost} of {texts} texts that are found now have no vector in it yet",
    )


def no_orphan_vectors(engine: Engine, space: EmbeddingSpace, *, at: datetime | None = None) -> Finding:
    """No vector is left that no text points to: vectors and distinct texts are equal in number.

    With a time, texts count that were in use then, and so could not be known to leave.
    """
    vectors_of = partition(space.id)
    with engine.connect() as connection:
        texts = connection.scalar(count_texts(space)) or 0
        vectors = connection.scalar(select(func.count()).select_from(vectors_of)) or 0
        orphans = (
            connection.scalar(
                select(func.count()).select_from(vectors_of).where(~has_text(space, vectors_of.c.content_hash, at))
            )
            or 0
        )
    return Finding(
        orphans == 0,
        {"space": space.id, "texts": texts, "vectors": vectors, "orphans": orphans, "threshold": 0},
        f"{orphans} of {vectors} vectors belong to no {_ONE_OF[space.kind]}",
    )


def vectors_are_sound(engine: Engine, space: EmbeddingSpace) -> Finding:
    """Right dimensions, no NaN, none zero, length 1 where the space normalizes, each still the one of its text.

    `without_checksum` are those that were stored before there were checksums, of which the last cannot be said.
    """
    vectors_of = partition(space.id)
    norm = func.vector_norm(vectors_of.c.embedding)
    bad = unsound(space, vectors_of)
    counts = [func.count().filter(condition).label(name) for name, condition in bad.items()]
    with engine.connect() as connection:
        row = connection.execute(
            select(
                func.count().label("vectors"),
                func.min(norm).label("norm_min"),
                func.max(norm).label("norm_max"),
                (func.count() - func.count(vectors_of.c.checksum)).label("without_checksum"),
                *counts,
            ).select_from(vectors_of)
        ).one()
    wrong = sum(getattr(row, name) for name in bad)
    numbers: dict[str, Any] = {name: getattr(row, name) for name in bad}
    return Finding(
        wrong == 0,
        {
            "space": space.id,
            "vectors": row.vectors,
            "dimensions": space.dimensions,
            "norm_min": row.norm_min,
            "norm_max": row.norm_max,
            "without_checksum": row.without_checksum,
            "threshold": 0,
            **numbers,
        },
        f"{wrong} of {row.vectors} vectors are not sound "
        f"({', '.join(f'{number} {name}' for name, number in numbers.items() if number)})",
    )


def index_valid(engine: Engine, space: EmbeddingSpace) -> Finding:
    """The index is there, valid, and built with the wanted operator class and parameters."""
    with engine.connect() as connection:
        found = examine(connection, space)
    return Finding(
        found.state.serves,
        {"space": space.id, "state": found.state.value, "index": found.name, "bytes": found.bytes},
        f"the index {found.name} is {found.state.value}",
    )


def index_used(engine: Engine, space: EmbeddingSpace) -> Finding:
    """EXPLAIN of the statement that searches send shows the index; in a small table, that it can show it.

    And the scan of the index goes on past its first candidates, without which filters would cost hits.
    """
    statement = searching(space, 10, space.ef_search)
    stored = partition(space.id)
    with engine.connect() as connection:
        name = index_in_use(connection, space)
        vectors = connection.scalar(select(func.count()).select_from(stored)) or 0
        query = connection.scalar(select(stored.c.embedding).where(func.vector_norm(stored.c.embedding) > 0).limit(1))
        vector = str(query if query is not None else [1.0] * space.dimensions)
        values = graph_values(vector, space.ef_search)
        chosen = served_by_index(connection, statement, values, name)
        able = chosen or served_by_index(connection, statement, values, name, forced=True)
        onward = not able or vectors < GOES_ON_AT or goes_on(connection, space, vector)
    # Below this a scan of the table can be the cheaper plan, and the planner is right to take it.
    small = vectors < latency.CERTIFIED_AT
    serves = chosen or (small and able)
    return Finding(
        serves and onward,
        {
            "space": space.id,
            "vectors": vectors,
            "chosen": chosen,
            "able": able,
            "table_is_small": small,
            "goes_on": onward,
        },
        "the scan of the index ends at its first candidates, so that filters cost hits"
        if serves
        else f"searches over {vectors} vectors are not served by {name}",
    )


def search_latency(engine: Engine, space: EmbeddingSpace, settings: Settings) -> Finding:
    """p95 of searches at 10,000 vectors or more is under the limit; nothing to measure where nothing is stored."""
    limit_ms = settings.latency_limit_ms
    measured = latency.measure(engine, space, settings.ef_search or space.ef_search)
    if measured is None:
        return Finding(True, {"space": space.id, "vectors": 0})
    return Finding(
        measured.p95_ms < limit_ms,
        {
            "space": space.id,
            "threshold_ms": limit_ms,
            **measured.metadata(),
            "chart": charts.latencies(measured.times_ms, measured.p95_ms, limit_ms),
        },
        f"p95 of a search is {measured.p95_ms:.1f} ms at {measured.vectors} vectors, not under {limit_ms:g} ms",
    )


def recall_at_10(engine: Engine, space: EmbeddingSpace, settings: Settings) -> Finding:
    """What the index finds against what an exact scan finds, over sampled questions.

    A space whose ef_search is below the one that was measured to suffice fails too: what questions made of its own
    vectors still find, people's questions may not.
    """
    limit = settings.recall_limit
    measured = recall.measure(engine, space, settings.ef_search or space.ef_search)
    if measured is None:
        return Finding(True, {"space": space.id, "questions": 0})
    least = recall.least_ef_search(space)
    lowered = settings.ef_search is None and space.ef_search < least
    reason = f"recall@10 is {measured.mean:.3f} on the mean, not {limit:g} or more"
    if not measured.by_index:
        reason = "recall@10 cannot be measured: the index does not serve searches"
    elif lowered and measured.mean >= limit:
        reason = f"searches look at {space.ef_search} candidates, and nobody measured that fewer than {least} suffice"
    return Finding(
        measured.mean >= limit and measured.by_index and not lowered,
        {
            "space": space.id,
            "threshold": limit,
            "least_ef_search": least,
            **measured.metadata(),
            **({"chart": charts.recall_against_latency(space.tuning, limit)} if space.tuning else {}),
        },
        reason,
    )


def serves_wanted_space(engine: Engine, fingerprint: str) -> Finding:
    """The live space is the wanted one, and the view shows each of its chunks that has a vector.

    Where people have rolled back from the wanted one, the space that they chose is the right one.
    """
    view = table("live_chunks", schema=SCHEMA)
    with engine.connect() as connection:
        space = live_space(connection)
        if space is None:
            return Finding(False, {"space": None}, "no space is live")
        if connection.scalar(select(func.to_regclass(f"{SCHEMA}.live_chunks"))) is None:
            return Finding(False, {"space": space.id}, "the view rag.live_chunks is missing")
        chunks = (
            connection.scalar(
                select(func.count()).select_from(DocumentChunk).where(DocumentChunk.chunking == space.chunking)
            )
            or 0
        )
        shown = connection.scalar(select(func.count()).select_from(view)) or 0
        wanted = space.fingerprint == fingerprint
        held_back = None if wanted else connection.scalar(_held_back(fingerprint))
    return Finding(
        (wanted or held_back is not None) and shown == chunks,
        {"space": space.id, "is_wanted": wanted, "chunks": chunks, "chunks_shown": shown}
        | ({"held_back": held_back} if held_back is not None else {}),
        f"rag.live_chunks shows {shown} of {chunks} chunks"
        if wanted or held_back is not None
        else f"searches still use space {space.id} ({space.model}), not the one that the settings ask for",
    )


def _held_back(fingerprint: str) -> Select[int]:
    return select(EmbeddingSpace.id).where(
        EmbeddingSpace.fingerprint == fingerprint, EmbeddingSpace.rolled_back_at.is_not(None)
    )
