"""When runs began that brought something up to date: what came in later, or left later, is not theirs to answer for."""

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from rag_assets.orchestration.partitions import RANGE_END, RANGE_START

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from rag_assets.db.spaces.text_kinds import Kind


def last_run_began(context: dg.AssetCheckExecutionContext, asset: dg.AssetKey) -> datetime | None:
    """When the last run that materialized the asset was made: this one, where it does; None where there was none."""
    return _began(context, asset, None)


def due_texts(
    context: dg.AssetCheckExecutionContext, kind: "Kind", asset: dg.AssetKey, since: date
) -> "ColumnElement[bool]":
    """The condition on texts whose vectors this run of the checks may expect, by the history of the asset.

    `since` is the first day whose messages are embedded.
    """
    from rag_assets.pipeline.audit import expected_texts

    last = last_run_began(context, asset)
    if kind != "messages" or last is None:
        return expected_texts.came_before(kind, last)
    asked = _asked_days(context)
    if asked:
        return expected_texts.came_on_days(kind, dict.fromkeys(asked, _made(context.run.run_id, context) or last))
    # The schedule for a day comes after its end: until then, what its last run saw is all that can be asked for.
    today = datetime.now(UTC).date()
    recent = {day: _began(context, asset, day) for day in (today - timedelta(days=1), today)}
    runs = {day: at for day, at in recent.items() if at is not None}
    return expected_texts.came_since(kind, since, today - timedelta(days=1), runs)


def _asked_days(context: dg.AssetCheckExecutionContext) -> list[date]:
    tags = context.run.tags
    first = tags.get(RANGE_START) or tags.get("dagster/partition")
    last = tags.get(RANGE_END) or first
    if not first or not last:
        return []
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    return [start + timedelta(days=offset) for offset in range((end - start).days + 1)]


def _began(context: dg.AssetCheckExecutionContext, asset: dg.AssetKey, day: date | None) -> datetime | None:
    wanted = dg.AssetRecordsFilter(asset, [day.isoformat()] if day else None)
    found = context.instance.fetch_materializations(wanted, limit=1).records
    return _made(found[0].run_id, context) if found else None


def _made(run_id: str, context: dg.AssetCheckExecutionContext) -> datetime | None:
    record = context.instance.get_run_record_by_id(run_id)
    if record is None:
        return None
    made: datetime = record.create_timestamp
    return made if made.tzinfo else made.replace(tzinfo=UTC)
