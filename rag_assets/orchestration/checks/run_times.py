"""When the runs began that a check judges: what arrived or left after that is not theirs to answer for."""

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from rag_assets.orchestration.partitions import RANGE_END, RANGE_START

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from rag_assets.db.spaces.text_kinds import Kind


def last_run_time(context: dg.AssetCheckExecutionContext, asset: dg.AssetKey) -> datetime | None:
    """When the last run that materialized the asset was created, perhaps this one; None when there was none."""
    return _last_run_time(context, asset, None)


def expected_texts(
    context: dg.AssetCheckExecutionContext, kind: "Kind", asset: dg.AssetKey, since: date
) -> "ColumnElement[bool]":
    """The condition on texts that should have a vector by now, from the history of the asset.

    `since` is the first day whose messages are embedded.
    """
    from rag_assets.pipeline.audit import expected_texts

    last = last_run_time(context, asset)
    if kind != "messages" or last is None:
        return expected_texts.came_before(kind, last)
    requested = _requested_days(context)
    if requested:
        created = _created(context.run.run_id, context) or last
        return expected_texts.came_on_days(kind, dict.fromkeys(requested, created))
    # The schedule for a day runs after the day's end. Until then, only what its last run saw is expected.
    today = datetime.now(UTC).date()
    recent = {day: _last_run_time(context, asset, day) for day in (today - timedelta(days=1), today)}
    runs = {day: at for day, at in recent.items() if at is not None}
    return expected_texts.came_since(kind, since, today - timedelta(days=1), runs)


def _requested_days(context: dg.AssetCheckExecutionContext) -> list[date]:
    tags = context.run.tags
    first = tags.get(RANGE_START) or tags.get("dagster/partition")
    last = tags.get(RANGE_END) or first
    if not first or not last:
        return []
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    return [start + timedelta(days=offset) for offset in range((end - start).days + 1)]


def _last_run_time(context: dg.AssetCheckExecutionContext, asset: dg.AssetKey, day: date | None) -> datetime | None:
    records_filter = dg.AssetRecordsFilter(asset, [day.isoformat()] if day else None)
    found = context.instance.fetch_materializations(records_filter, limit=1).records
    return _created(found[0].run_id, context) if found else None


def _created(run_id: str, context: dg.AssetCheckExecutionContext) -> datetime | None:
    record = context.instance.get_run_record_by_id(run_id)
    if record is None:
        return None
    created: datetime = record.create_timestamp
    return created if created.tzinfo else created.replace(tzinfo=UTC)
