"""rag-assets evaluate: measure the quality and speed of searches with evaluation queries."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rag_assets.cli.options import JsonOption

if TYPE_CHECKING:
    from rag_assets.search.evaluation.evaluate import QueryEvaluation
    from rag_assets.search.evaluation.run import EvaluationReport

EXAMPLES = 3


def evaluate(
    questions: Annotated[Path, typer.Argument(help="Evaluation queries: a JSONL file, or a folder in BEIR's layout.")],
    project: Annotated[str | None, typer.Option(help="Search this project only.")] = None,
    mode: Annotated[
        Literal["vector", "text", "hybrid"] | None,
        typer.Option(help="How to search. Without it: hybrid, as searches do by default."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Search for evaluation queries, and report metrics, latency and the worst answers."""
    from rag_assets.cli.output.console import print_error, print_json
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import shared_engine
    from rag_assets.search.evaluation.queries import read_queries
    from rag_assets.search.evaluation.run import run_evaluation
    from rag_assets.search.retriever import Retriever

    queries = read_queries(questions)
    settings = installation.enter()
    engine = shared_engine(settings)
    retriever = Retriever(engine, settings)
    report = run_evaluation(engine, retriever, queries, project=project, mode=mode, ef_search=settings.ef_search)
    if report.missing:
        examples = ", ".join(report.missing[:EXAMPLES]) + (", …" if len(report.missing) > EXAMPLES else "")
        print_error(
            f"rag-assets: warning: {len(report.missing)} of the relevant documents are not in the index and count as "
            f"not found ({examples}); ingest them, or name the project that has them."
        )
    if as_json:
        print_json(report.as_json())
    else:
        _print_report(report)


def _print_report(report: "EvaluationReport") -> None:
    from rag_assets.cli.output.console import pluralize, print_facts, print_line

    evaluation, settings = report.evaluation, report.settings
    queries = pluralize(len(evaluation.queries), "evaluation query", "evaluation queries")
    title = f"{queries}, {settings['mode']} search, {pluralize(settings['documents'], 'document')}"
    facts = [(name, f"{value:.4f}") for name, value in evaluation.metrics.items()]
    facts += [(f"passages {name}", f"{value:.4f}") for name, value in evaluation.passages.items()]
    for name, milliseconds in evaluation.latency_ms.items():
        part = "embedding" if name.startswith("embedding_") else "database"
        facts.append((f"{part} {name.removeprefix('embedding_')}", f"{milliseconds:.2f} ms"))
    print_facts(title, facts)
    worst = evaluation.worst()
    if worst:
        print_line("\nworst answers, by nDCG@10:")
    for one in worst:
        print_line(_describe(one))


def _describe(one: "QueryEvaluation") -> str:
    from rag_assets.cli.output.console import shorten

    relevant = [name for name, grade in sorted(one.query.relevant.items(), key=lambda item: -item[1]) if grade]
    rank = next((rank for rank, name in enumerate(one.found, start=1) if name in relevant), None)
    where = f"first at rank {rank}" if rank else "not found"
    query = shorten(one.query.text, 100)
    return f"  {one.metrics['ndcg@10']:.3f}  {query}  ({where}; wanted {', '.join(relevant[:EXAMPLES])})"
