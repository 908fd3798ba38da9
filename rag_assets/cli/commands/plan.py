"""rag-assets plan: what the configured space would cost, before anything is touched."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rag_assets.pipeline.estimate import CostEstimate


def plan(
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Embed a few texts with a model whose rate no run has measured yet.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
) -> None:
    """Say what the settings ask for beside what there is: texts and tokens to embed, minutes, bytes; change nothing."""
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import new_engine
    from rag_assets.db.schema import migrations
    from rag_assets.db.spaces.text_kinds import list_kinds
    from rag_assets.embedding.encoder import get_space_encoder
    from rag_assets.errors import ServiceError
    from rag_assets.pipeline.estimate import estimate_cost

    settings = installation.enter()
    # Not the shared one, which would bring the schema up to date.
    engine = new_engine(settings)
    try:
        if migrations.current_revision(engine) != migrations.head_revision():
            raise ServiceError("the schema is not up to date; run rag-assets db upgrade, then plan again.")
        encoder = (lambda space: get_space_encoder(space, settings.device)) if calibrate else None
        plans = [
            estimate_cost(engine, settings, kind, calibrate=encoder) for kind in list_kinds() if _exists(engine, kind)
        ]
    finally:
        engine.dispose()
    if as_json:
        sys.stdout.write(json.dumps({"plans": [one.as_json() for one in plans]}) + "\n")
    else:
        for one in plans:
            _show(one)


def _exists(engine: "Engine", kind: str) -> bool:
    """False for a registered table that was not created yet."""
    from rag_assets.db.spaces.registered_tables import is_registered, table_exists

    with engine.connect() as connection:
        return not is_registered(kind) or table_exists(connection, kind)


def _show(plan: "CostEstimate") -> None:
    from rag_assets.cli.output.reports import out

    if not plan.texts and plan.live is None:
        out.print(f"{plan.kind}: nothing there", markup=False)
        return
    if plan.live is None:
        what = "no space is live yet"
    elif plan.space == plan.live:
        what = f"the settings ask for live space {plan.live}"
    else:
        changes = (_change(name, pair["live"], pair["wanted"]) for name, pair in plan.changes.items())
        what = f"another space than live space {plan.live}: {', '.join(changes)}"
    about = "about " if plan.estimated else ""
    read = f"  to read again, with another version of their parser: {plan.documents_to_read:,} documents"
    lines = (
        f"{plan.kind}: {what}",
        *((read,) if plan.documents_to_read else ()),
        f"  to cut: {plan.documents_to_cut:,} documents",
        f"  to embed: {about}{plan.texts_to_embed:,} of {plan.texts:,} texts, {about}{plan.tokens_to_embed:,} tokens",
        f"  time: {_time(plan.embedding_minutes)} to embed, {_time(plan.index_minutes)} to build the index",
        f"  room: {_mb(plan.table_bytes)} of vectors, {_mb(plan.index_bytes)} of index; {_mb(plan.bytes_there)} there",
    )
    for line in lines:
        out.print(line, markup=False)


def _change(name: str, live: Any, wanted: Any) -> str:
    if isinstance(live, dict) and isinstance(wanted, dict):
        parts = [key for key in {**live, **wanted} if live.get(key) != wanted.get(key)]
        return ", ".join(_change(key, live.get(key), wanted.get(key)) for key in parts)
    return f"{name} {live} → {wanted}"


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def _time(minutes: float | None) -> str:
    from rag_assets.cli.output.reports import duration

    return "unknown time (no run has measured it)" if minutes is None else duration(minutes * 60)
