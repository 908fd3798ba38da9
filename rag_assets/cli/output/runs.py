"""What `ingest` and `embed` print after a run."""

import shlex
from typing import TYPE_CHECKING, Any

from rag_assets.cli.output.checks import print_checks
from rag_assets.cli.output.console import format_duration, pluralize, print_facts, print_line
from rag_assets.cli.output.status import print_remark

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rag_assets.cli.runtime.run_job import CheckOutcome
    from rag_assets.settings.settings import Settings


MOST_REMARKS = 10


def print_ingest(report: dict[str, Any], checks: "list[CheckOutcome]", *, verbose: bool) -> None:
    documents, chunks, texts = report["documents"], report["chunks"], report["texts"]
    seconds = dict(report["seconds"])
    facts = [
        ("documents", _counts(documents["seen"], documents, "new", "changed", "unchanged", "deleted", "failed")),
        ("chunks", _counts(chunks["total"], chunks, "written", "deleted")),
        ("distinct texts", _counts(texts["distinct"], {"submitted": 0} | texts, "embedded", "reused", "submitted")),
        *([("cost", f"{report['cost']:,.4g} for {report['billed_tokens']:,} tokens")] if "cost" in report else []),
        ("time", _format_seconds(seconds.pop("total"))),
    ]
    if verbose:
        facts += [(f"  {stage}", _format_seconds(stage_s)) for stage, stage_s in seconds.items()]
    print_facts(f"project {report['project']}", facts)
    if "forgotten" in report:
        print_line(
            f"{pluralize(report['forgotten'], 'document')} of the source stay forgotten and were not read: "
            "rag-assets forget --read-again"
        )
    for remark in report["remarks"][:MOST_REMARKS]:
        print_remark(remark)
    if len(report["remarks"]) > MOST_REMARKS:
        print_line("… and more documents with remarks: rag-assets status")
    print_line()
    print_checks(checks, verbose=verbose)


def print_embed(report: dict[str, Any], checks: "list[CheckOutcome]", *, verbose: bool) -> None:
    texts, vectors, days = report["texts"], report["vectors"], report["days"]
    facts = [
        *([("days", " to ".join(dict.fromkeys(days)))] if days else []),
        ("distinct texts", _counts(texts["distinct"], texts, "embedded", "reused")),
        ("longer than the window", f"{texts['longer_than_window']:,}"),
        ("vectors", _counts(vectors["stored"], vectors, "removed")),
        ("time", _format_seconds(report["seconds"])),
    ]
    print_facts(report["kind"], facts)
    print_line()
    print_checks(checks, verbose=verbose)


def print_sample_answer(engine: "Engine", settings: "Settings", project: str) -> None:
    """Search for a query that the project's own documents suggest; a model that costs money is not asked."""
    from rag_assets.cli.output.answers import print_answer
    from rag_assets.embedding.remote.names import is_remote
    from rag_assets.search.evaluation.sample_query import sample_query
    from rag_assets.search.retriever import Retriever

    query = sample_query(engine, project)
    if query is None:
        return
    print_line(f"Try it: rag-assets search {shlex.quote(query)}")
    if not is_remote(settings.model):
        print_answer(Retriever(engine, settings).search(query, k=3, project=project))


def _counts(total: int, figures: dict[str, Any], *names: str) -> str:
    """The total, and the parts of it that are not 0."""
    parts = ", ".join(f"{figures[name]:,} {name}" for name in names if figures[name])
    return f"{total:,}" + (f" ({parts})" if parts else "")


def _format_seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else format_duration(seconds)
