"""rag-assets audit: who asked what kind of question when, and the questions as evaluation queries."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from rag_assets.cli.options import JsonOption
from rag_assets.errors import UsageError

app = typer.Typer(help="Read the audit of what callers ask.", no_args_is_help=True)
DaysOption = Annotated[int | None, typer.Option(min=1, max=36_500, help="Of so many days alone.")]


@app.command("list")
def list_(
    days: DaysOption = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="Most entries, the newest ones.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List the newest entries: when, who, what kind of question, hits, and how long the answer took."""
    from rich.markup import escape
    from rich.table import Column

    from rag_assets.cli.output.console import new_table, on_one_line, out, print_json
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import shared_engine
    from rag_assets.repositories.audit.entries import list_entries

    with shared_engine(installation.enter()).connect() as connection:
        entries = list_entries(connection, since=_since(days), limit=limit)
    if as_json:
        print_json({"entries": entries})
        return
    table = new_table(
        "asked at", "via", "caller", "operation", "mode", Column("hits", justify="right"), "ms", "outcome"
    )
    for entry in entries:
        table.add_row(
            f"{entry['asked_at']:%Y-%m-%d %H:%M:%S}",
            entry["via"],
            escape(on_one_line(entry["caller"])),
            entry["operation"],
            entry["mode"] or "",
            "" if entry["hits"] is None else f"{entry['hits']:,}",
            f"{entry['duration_ms']:.1f}",
            entry["outcome"],
        )
    out.print(table)


@app.command()
def questions(
    file: Annotated[Path, typer.Argument(help="The JSONL file to write; - for stdout.")],
    project: Annotated[str | None, typer.Option(help="With the documents of this project alone.")] = None,
    days: DaysOption = None,
    unjudged: Annotated[
        bool,
        typer.Option("--unjudged", help="Also questions after which nothing was read: raise their grades yourself."),
    ] = False,
) -> None:
    """Write the questions that people asked as evaluation queries, for `rag-assets evaluate`.

    A document is relevant if the caller read it within ten minutes after the search that found it. Needs
    RAG_ASSETS_AUDIT_QUERIES.
    """
    from rag_assets.cli.output.console import pluralize, print_error
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import shared_engine
    from rag_assets.projects.store import get_project
    from rag_assets.repositories.audit.questions import audited_questions

    settings = installation.enter()
    with shared_engine(settings).connect() as connection:
        if project is not None:
            get_project(connection, project)
        found = audited_questions(connection, project=project, since=_since(days))
    written = [one for one in found if unjudged or one.is_judged]
    if not written:
        hint = "use --unjudged, or wait for callers who read what they find" if found else _hint(settings)
        raise UsageError(f"the audit has no question that a document was read for; {hint}.")
    lines = "".join(json.dumps(_to_query(one), ensure_ascii=False) + "\n" for one in written)
    if str(file) == "-":
        typer.echo(lines, nl=False)
    else:
        file.write_text(lines, "utf-8")
    print_error(
        f"{pluralize(len(written), 'question')} written, {pluralize(len(found) - len(written), 'question')} left out"
    )


def _to_query(question: Any) -> dict[str, Any]:
    return {"query": question.query, "relevant": question.relevant, "asked": question.asked}


def _hint(settings: Any) -> str:
    if settings.audit == "off" or not settings.audit_queries:
        return "set RAG_ASSETS_AUDIT_QUERIES=true for the server, which records no texts otherwise"
    return "let callers search first"


def _since(days: int | None) -> datetime | None:
    return None if days is None else datetime.now(UTC) - timedelta(days=days)
