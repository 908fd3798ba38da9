"""rag-assets tune: choose ef_search from measured recall and latency."""

from typing import TYPE_CHECKING, Annotated

import typer

from rag_assets.cli.options import JsonOption
from rag_assets.errors import ServiceError

if TYPE_CHECKING:
    from rag_assets.search.evaluation.tuning import RecallCurve, SweepPoint


def tune(
    target_recall: Annotated[
        float, typer.Option(help="Wanted recall@10: the share of the ten nearest vectors that a search finds.")
    ] = 0.97,
    as_json: JsonOption = False,
) -> None:
    """Measure recall and latency of the live index, and store the smallest ef_search that reaches the recall."""
    from rag_assets.cli.output.console import print_json
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import writable_engine
    from rag_assets.db.spaces.spaces import get_live_space
    from rag_assets.search.evaluation.tuning import check_target_recall, store_ef_search, sweep_ef_search

    check_target_recall(target_recall)
    settings = installation.enter()
    engine = writable_engine(settings)
    with engine.connect() as connection:
        space = get_live_space(connection)
    if space is None:
        raise ServiceError("there is nothing to tune yet: no space is live; run rag-assets ingest first.")
    curve = sweep_ef_search(engine, space)
    if not as_json:
        _print_curve(curve, target_recall)
    chosen = store_ef_search(engine, curve, target_recall)
    if settings.ef_search is not None and settings.ef_search != chosen.ef_search:
        typer.echo(
            f"rag-assets: warning: RAG_ASSETS_EF_SEARCH is {settings.ef_search}, which searches use instead; unset it.",
            err=True,
        )
    if as_json:
        report = {"target_recall": target_recall, "ef_search": chosen.ef_search, "before": space.ef_search}
        print_json(report | curve.as_json())
    else:
        typer.echo(
            f"ef_search {chosen.ef_search} (before: {space.ef_search}) is stored: recall@10 {_format_recall(chosen)}"
        )


def _print_curve(curve: "RecallCurve", target_recall: float) -> None:
    from rag_assets.cli.output.console import new_table, out

    kinds = list(curve.questions)
    queries = ", ".join(f"{number} {_hyphenate(kind)}" for kind, number in curve.questions.items())
    table = new_table(title=f"space {curve.space}: {curve.vectors:,} vectors, queries: {queries}")
    table.add_column("ef_search", justify="right")
    for kind in kinds:
        table.add_column(f"recall@10 {_hyphenate(kind)}", justify="right")
    for column in ("p50", "p95"):
        table.add_column(column, justify="right")
    for point in curve.points:
        style = None if point.worst_recall >= target_recall else "dim"
        shares = [f"{point.recall[kind]:.4f}" for kind in kinds]
        table.add_row(str(point.ef_search), *shares, f"{point.p50_ms:.2f} ms", f"{point.p95_ms:.2f} ms", style=style)
    out.print(table)


def _format_recall(point: "SweepPoint") -> str:
    return ", ".join(f"{share:.4f} {_hyphenate(kind)}" for kind, share in point.recall.items())


def _hyphenate(kind: str) -> str:
    return kind.replace("_", "-")
