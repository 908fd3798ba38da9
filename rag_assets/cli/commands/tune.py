"""rag-assets tune: choose ef_search from the measured curve of recall against latency."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from rag_assets.errors import ServiceError

if TYPE_CHECKING:
    from rag_assets.search.evaluation.tuning import RecallCurve, SweepPoint


def tune(
    target_recall: Annotated[
        float, typer.Option(help="The share of the ten nearest vectors that searches shall find.")
    ] = 0.97,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
) -> None:
    """Measure recall and latency of the live index by ef_search, and let searches use the smallest that suffices."""
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import shared_engine
    from rag_assets.db.spaces.spaces import get_live_space
    from rag_assets.search.evaluation.tuning import check_target_recall, store_ef_search, sweep_ef_search

    check_target_recall(target_recall)
    settings = installation.enter()
    engine = shared_engine(settings)
    with engine.connect() as connection:
        space = get_live_space(connection)
    if space is None:
        raise ServiceError("there is nothing to tune yet: no space is live; run rag-assets ingest first.")
    curve = sweep_ef_search(engine, space)
    if not as_json:
        _show(curve, target_recall)
    chosen = store_ef_search(engine, curve, target_recall)
    if settings.ef_search is not None and settings.ef_search != chosen.ef_search:
        typer.echo(
            f"rag-assets: warning: RAG_ASSETS_EF_SEARCH is {settings.ef_search}, which searches use instead; unset it.",
            err=True,
        )
    if as_json:
        report = {"target_recall": target_recall, "ef_search": chosen.ef_search, "before": space.ef_search}
        sys.stdout.write(json.dumps(report | curve.as_json()) + "\n")
    else:
        typer.echo(f"ef_search {chosen.ef_search} (before: {space.ef_search}) is stored: recall@10 {_recall(chosen)}")


def _show(curve: "RecallCurve", target_recall: float) -> None:
    from rich.table import Table

    from rag_assets.cli.output.reports import out

    kinds = list(curve.questions)
    asked = ", ".join(f"{number} {_spelled(kind)}" for kind, number in curve.questions.items())
    table = Table(title=f"space {curve.space}: {curve.vectors:,} vectors, questions: {asked}", title_justify="left")
    table.add_column("ef_search", justify="right")
    for kind in kinds:
        table.add_column(f"recall@10 {_spelled(kind)}", justify="right")
    for column in ("p50", "p95"):
        table.add_column(column, justify="right")
    for point in curve.points:
        style = None if point.worst_recall >= target_recall else "dim"
        shares = [f"{point.recall[kind]:.4f}" for kind in kinds]
        table.add_row(str(point.ef_search), *shares, f"{point.p50_ms:.2f} ms", f"{point.p95_ms:.2f} ms", style=style)
    out.print(table)


def _recall(point: "SweepPoint") -> str:
    return ", ".join(f"{share:.4f} {_spelled(kind)}" for kind, share in point.recall.items())


def _spelled(kind: str) -> str:
    return kind.replace("_", "-")
