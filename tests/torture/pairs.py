"""Pairs of commands at the same time, and the rows that both must leave."""

from dataclasses import dataclass

from tests.torture.places import EDITED, INGEST, PLACES, Moment, Place

_MOMENTS = {(place.name, moment.name): moment for place in PLACES for moment in place.moments}
_EMBEDDING = _MOMENTS["embedding", "some texts embedded"]
_FULL = tuple(f"VACUUM FULL rag.{table}" for table in ("documents", "document_chunks", "embeddings_1"))


@dataclass(frozen=True)
class Pair:
    """`second` starts (or `statements` are sent) when the server says that the command of `place` is at `moment`."""

    name: str
    place: Place
    moment: Moment
    second: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()


def _pair(
    name: str,
    state: str,
    moment: Moment,
    second: tuple[str, ...] = (),
    *,
    first: tuple[str, ...] = INGEST,
    prepare: tuple[str, ...] = (),
    statements: tuple[str, ...] = (),
) -> Pair:
    return Pair(name, Place(name, state, first, (moment,), prepare), moment, second, statements)


_NO_INDEX = ("DROP INDEX rag.ix_embeddings_1_hnsw",)
_READING = _MOMENTS["reading", "between two documents"]
PAIRS = (
    _pair("two ingests", "empty", _EMBEDDING, INGEST),
    _pair("ingest and promote", "two spaces", _READING, ("spaces", "promote", "1"), prepare=EDITED),
    _pair(
        "promote and ingest", "two spaces", _MOMENTS["flip", "view replaced"], INGEST, first=("spaces", "promote", "1")
    ),
    _pair(
        "index build and ingest",
        "ingested",
        _MOMENTS["index build (concurrent)", "building the graph"],
        INGEST,
        prepare=(*EDITED, *_NO_INDEX),
    ),
    _pair("upgrade and ingest", "old", _MOMENTS["migration", "table rewritten"], INGEST, first=("db", "upgrade")),
    _pair("ingest and VACUUM FULL", "empty", _EMBEDDING, statements=_FULL),
    _pair("ingest and maintain", "empty", _EMBEDDING, ("maintain",)),
    _pair("ingest and repair", "ingested", _READING, ("repair",), prepare=EDITED),
)
