"""Conditions on the texts that should have a vector by now: a run answers for its projects, and for earlier texts."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from sqlalchemy import ColumnElement, and_, or_, select, true

from rag_assets.db.models import Document
from rag_assets.db.spaces.shards import of_explicit_keys
from rag_assets.db.spaces.text_kinds import ALL_CHUNKS, Kind, created_on_day, text_source_of_kind, utc_midnight


def of_projects(projects: Sequence[str] | None) -> ColumnElement[bool]:
    """Chunks of these projects and shards (`name:01of16`); with None, of all."""
    if projects is None:
        return true()
    documents = select(Document.id).where(of_explicit_keys(projects))
    return ALL_CHUNKS.c.document_id.in_(documents)


def came_before(kind: Kind, at: datetime | None) -> ColumnElement[bool]:
    """Texts that arrived before a time; with None, all."""
    condition: ColumnElement[bool] = true() if at is None else text_source_of_kind(kind).written_at < at
    return condition


def came_on_days(kind: Kind, runs: Mapping[date, datetime]) -> ColumnElement[bool]:
    """Texts of the given days that arrived before a run over their day began; `runs` maps the day to that time."""
    texts = text_source_of_kind(kind)
    return or_(*(and_(created_on_day(texts, day), texts.written_at < at) for day, at in runs.items()))


def came_since(kind: Kind, first: date, settled: date, runs: Mapping[date, datetime]) -> ColumnElement[bool]:
    """Texts of the days from `first` on: all of those before `settled`, and of later days as in `came_on_days`."""
    texts = text_source_of_kind(kind)
    early = and_(texts.created_at >= utc_midnight(first), texts.created_at < utc_midnight(settled))
    return or_(early, came_on_days(kind, runs)) if runs else early
