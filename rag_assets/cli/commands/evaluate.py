"""rag-assets evaluate: how well searches find what judged questions ask for."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rag_assets.search.evaluation.evaluate import QueryEvaluation
    from rag_assets.search.evaluation.run import EvaluationReport

EXAMPLES = 3


def evaluate(
    questions: Annotated[Path, typer.Argument(help="A JSONL file of judged questions, or a folder in BEIR's layout.")],
    project: Annotated[str | None, typer.Option(help="Search this project only.")] = None,
    mode: Annotated[
        Literal["vector", "text", "hybrid"] | None, typer.Option(help="How to search; unset: as searches do.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
) -> None:
    """Ask judged questions, and report how well and how fast searches find what answers them."""
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import shared_engine
    from rag_assets.search.evaluation.queries import read_queries
    from rag_assets.search.evaluation.run import run_evaluation
    from rag_assets.search.retriever import Retriever

    asked = read_queries(questions)
    settings = installation.enter()
    engine = shared_engine(settings)
    retriever = Retriever(engine, settings)
    report = run_evaluation(engine, retriever, asked, project=project, mode=mode, ef_search=settings.ef_search)
    if report.missing:
        examples = ", ".join(report.missing[:EXAMPLES]) + (", …" if len(report.missing) > EXAMPLES else "")
        typer.echo(
            f"rag-assets: warning: {len(report.missing)} of the judged documents are not in the index and count as "
            f"missed ({examples}); ingest them, or name the project that has them.",
            err=True,
        )
    if as_json:
        sys.stdout.write(json.dumps(report.as_json()) + "\n")
    else:
        _show(report)


def _show(report: "EvaluationReport") -> None:
    from rich.table import Table

    from rag_assets.cli.output.reports import out

    found, settings = report.evaluation, report.settings
    title = f"{len(found.queries)} questions, {settings['mode']}, {settings['documents']:,} documents"
    table = Table(title=title, show_header=False, title_justify="left")
    for name, value in found.metrics.items():
        table.add_row(name, f"{value:.4f}")
    for name, value in found.passages.items():
        table.add_row(f"passages {name}", f"{value:.4f}")
    for name, milliseconds in found.latency_ms.items():
        part = "embedding" if name.startswith("embedding_") else "database"
        table.add_row(f"{part} {name.removeprefix('embedding_')}", f"{milliseconds:.2f} ms")
    out.print(table)
    lost = found.worst()
    if lost:
        out.print("lost worst:")
    for one in lost:
        out.print(_line(one), markup=False)


def _line(one: "QueryEvaluation") -> str:
    wanted = [name for name, grade in sorted(one.query.relevant.items(), key=lambda item: -item[1]) if grade]
    rank = next((rank for rank, name in enumerate(one.found, start=1) if name in wanted), None)
    query = " ".join(one.query.text.split())
    shown = query if len(query) <= 100 else query[:99] + "…"
    where = f"first at rank {rank}" if rank else "not found"
    return f"  {one.metrics['ndcg@10']:.3f}  {shown}  ({where}; wanted {', '.join(wanted[:EXAMPLES])})"
