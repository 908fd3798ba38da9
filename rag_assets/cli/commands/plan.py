"""rag-assets plan: what it would cost to build the configured space."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_assets.cli.options import JsonOption

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rag_assets.pipeline.estimate import CostEstimate


def plan(
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Embed a few texts to measure the speed of a model that no run has used yet."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Estimate what the settings would change: texts and tokens to embed, time, money, disk space. Changes nothing."""
    from rag_assets.cli.output.console import print_json
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import new_engine
    from rag_assets.db.schema import migrations
    from rag_assets.db.spaces.text_kinds import list_kinds
    from rag_assets.embedding.encoder import get_space_encoder
    from rag_assets.errors import ServiceError
    from rag_assets.pipeline.estimate import estimate_cost

    settings = installation.enter()
    # The shared engine would upgrade the schema.
    engine = new_engine(settings)
    try:
        if migrations.current_revision(engine) != migrations.head_revision():
            raise ServiceError("the schema is not up to date; run rag-assets db upgrade, then plan again.")
        encoder = (lambda space: get_space_encoder(space, settings)) if calibrate else None
        plans = [
            estimate_cost(engine, settings, kind, calibrate=encoder) for kind in list_kinds() if _exists(engine, kind)
        ]
    finally:
        engine.dispose()
    if as_json:
        print_json({"plans": [one.as_json() for one in plans]})
    else:
        for one in plans:
            _print_plan(one)


def _exists(engine: "Engine", kind: str) -> bool:
    """False for a registered table that was not created yet."""
    from rag_assets.db.spaces.registered_tables import is_registered, table_exists

    with engine.connect() as connection:
        return not is_registered(kind) or table_exists(connection, kind)


def _print_plan(plan: "CostEstimate") -> None:
    from rag_assets.cli.output.console import format_size, pluralize, print_line

    if not plan.texts and plan.live is None:
        print_line(f"{plan.kind}: none stored")
        return
    if plan.live is None:
        summary = "no space is live yet"
    elif plan.space == plan.live:
        summary = f"the settings ask for space {plan.live}, which is live"
    else:
        changes = (_change(name, pair["live"], pair["wanted"]) for name, pair in plan.changes.items())
        summary = f"the settings ask for another space than live space {plan.live}: {', '.join(changes)}"
    embedding_time, index_time = _format_minutes(plan.embedding_minutes), _format_minutes(plan.index_minutes)
    vectors, index = format_size(plan.table_bytes), format_size(plan.index_bytes)
    parts = f"  parts of the index: {plan.parts}"
    if plan.recommended_parts != plan.parts:
        # In the words of the settings.
        memory = format_size(plan.build_memory_mb * 1_000_000)
        parts += f"; one graph needs {memory} to be built, so RAG_ASSETS_INDEX_PARTS={plan.recommended_parts} suits it"
    about = "about " if plan.estimated else ""
    read = f"  to read again, with another version of the parser: {pluralize(plan.documents_to_read, 'document')}"
    lines = (
        f"{plan.kind}: {summary}",
        *((read,) if plan.documents_to_read else ()),
        f"  to split: {pluralize(plan.documents_to_cut, 'document')}",
        f"  to embed: {about}{plan.texts_to_embed:,} of {plan.texts:,} texts, {about}{plan.tokens_to_embed:,} tokens",
        *((f"  in batches: {plan.texts_in_batches:,} texts wait at the server",) if plan.texts_in_batches else ()),
        f"  time: {embedding_time} to embed, {index_time} to build the index",
        *((f"  money: {about}{_format_money(plan)}",) if plan.cost is not None else ()),
        f"  size: {vectors} of vectors, {index} of index; {format_size(plan.bytes_there)} stored now",
        *((parts,) if plan.divides else ()),
    )
    for line in lines:
        print_line(line)


def _format_money(plan: "CostEstimate") -> str:
    from rag_assets.settings.settings import load_settings

    settings = load_settings()
    limits = {"run": settings.budget_run, "month": settings.budget_month}
    budgets = ", ".join(f"{limit:g} a {name}" for name, limit in limits.items() if limit is not None)
    return f"{plan.cost:,.4g}; {plan.spent_this_month:,.4g} spent this month" + (
        f"; budget {budgets}" if budgets else ""
    )


def _change(name: str, live: Any, wanted: Any) -> str:
    if isinstance(live, dict) and isinstance(wanted, dict):
        parts = [key for key in {**live, **wanted} if live.get(key) != wanted.get(key)]
        return ", ".join(_change(key, live.get(key), wanted.get(key)) for key in parts)
    return f"{name} {live} → {wanted}"


def _format_minutes(minutes: float | None) -> str:
    from rag_assets.cli.output.console import format_duration

    return "unknown time (no run has measured it)" if minutes is None else format_duration(minutes * 60)
