"""What people see when it is done: tables, and answers with their sources."""

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rag_assets.cli.runtime.run_job import CheckOutcome
    from rag_assets.search.results import Answer
    from rag_assets.settings.settings import Settings

out = Console(highlight=False, soft_wrap=True)

SHOWN_CHARACTERS = 240


def ingest_report(report: dict[str, Any], checks: "list[CheckOutcome]") -> None:
    documents, chunks, texts = report["documents"], report["chunks"], report["texts"]
    table = Table(title=f"project {report['project']}", show_header=False, title_justify="left")
    table.add_row("documents", f"{documents['seen']:,} ({_parts(documents, 'new', 'changed', 'unchanged')})")
    table.add_row("chunks", f"{chunks['total']:,} ({_parts(chunks, 'written')})")
    table.add_row("distinct texts", f"{texts['distinct']:,}")
    table.add_row("texts embedded", f"{texts['embedded']:,}")
    table.add_row("texts reused", f"{texts['reused']:,}")
    table.add_row("rows deleted", f"{documents['deleted']:,} documents, {chunks['deleted']:,} chunks")
    table.add_row("documents failed", f"{documents['failed']:,}")
    for stage, seconds in report["seconds"].items():
        table.add_row(f"seconds {stage}", f"{seconds:.2f}")
    out.print(table)
    check_table(checks)


def embed_report(report: dict[str, Any], checks: "list[CheckOutcome]") -> None:
    texts, vectors, days = report["texts"], report["vectors"], report["days"]
    table = Table(title=report["kind"], show_header=False, title_justify="left")
    if days:
        table.add_row("days", " to ".join(dict.fromkeys(days)))
    table.add_row("distinct texts", f"{texts['distinct']:,} ({_parts(texts, 'embedded', 'reused')})")
    table.add_row("longer than the window", f"{texts['longer_than_window']:,}")
    table.add_row("vectors", f"{vectors['stored']:,} ({_parts(vectors, 'removed')})")
    table.add_row("seconds", f"{report['seconds']:.2f}")
    out.print(table)
    check_table(checks)


def check_table(checks: "list[CheckOutcome]") -> None:
    table = Table(Column("check", no_wrap=True), "", "figures", title="checks", title_justify="left")
    for check in checks:
        mark = "[green]passed[/]" if check.passed else "[red]FAILED[/]" if check.fatal else "[yellow]warning[/]"
        shown = {name: value for name, value in check.metadata.items() if value not in ([], None)}
        # Tables are for the UI; `rag-assets evaluate` has the questions that lost most.
        figures = ", ".join(f"{name} {value}" for name, value in shown.items() if "\n" not in str(value))
        said = figures if check.passed else f"{check.description}: {figures}"
        table.add_row(f"{check.asset}/{check.name}", mark, escape(said))
    out.print(table)


def answer(found: "Answer") -> None:
    """Hits, best first, with what a citation needs."""
    for hit in found.hits:
        path = " / ".join(hit.heading_path)
        where = f"{hit.project}/{hit.file_path} [{hit.char_start}:{hit.char_end}]"
        out.print(f"[bold]{hit.rank}.[/] {hit.score:.3f}  [cyan]", end="")
        out.print(where, markup=False, end="")
        out.print(f"  {path}", markup=False, style="dim")
        # Who asks for what stands around a hit wants to read it, not its beginning.
        text = " ".join((hit.context or hit.text).split())
        shown = text if hit.context or len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
        out.print(f"   {shown}", markup=False)
    if found.degraded is not None:
        _degraded(found.space, found.degraded.missing, found.degraded.texts)
    out.print(
        f"{len(found.hits)} hits in space {found.space}: database {found.took_ms:.1f} ms, "
        f"question {found.embedding_ms:.1f} ms",
        style="dim",
    )


def sample_answer(engine: "Engine", settings: "Settings", project: str) -> None:
    """One question that the project's own documents suggest, with its answer."""
    from rag_assets.search.evaluation.sample_query import sample_query
    from rag_assets.search.retriever import Retriever

    question = sample_query(engine, project)
    if question is None:
        return
    out.print(f"\n{question}", markup=False, style="bold")
    answer(Retriever(engine, settings).search(question, k=3, project=project))


def status(found: dict[str, Any]) -> None:
    """The state of the installation, a line a thing."""
    database, pending = found["database"], found["pending"]
    _line(
        f"database {database['name']}: {_size(database['bytes'])}, PostgreSQL {database['server']}, "
        f"pgvector {database['pgvector'] or 'missing'}, "
        f"schema {database['schema_revision'] or 'none'} of {database['schema_head']}"
    )
    pool, connections = found["pool"], found["connections"]
    _line(
        f"pool: {pool['in_use']} of {pool['maximum']} in use, {pool['waiting']} waiting, {pool['timeouts']} timed out, "
        f"{pool['recycled']} recycled; server: {connections['open']} of {connections['allowed']} connections, "
        f"{connections['active']} active, {connections['idle_in_transaction']} idle in a transaction"
    )
    for project in found["projects"]:
        _line(
            f"project {project['name']}: {project['documents']:,} documents, {project['chunks']:,} chunks, "
            f"{project['vectors']:,} of {project['texts']:,} texts embedded, from {project['source']}"
        )
    spaces(found["spaces"])
    _line(
        f"pending: {pending['documents_to_chunk']:,} documents to chunk, {pending['texts_to_embed']:,} texts to embed, "
        f"{pending['messages_to_embed']:,} messages, {pending['memories_to_embed']:,} memories"
    )
    for one in found["degraded"]:
        _degraded(one["space"], one["missing"], one["texts"])
    for document in found["failed_documents"]:
        _line(f"failed: {document['project']}/{document['file_path']}: {document['reason']}")


def spaces(found: list[dict[str, Any]]) -> None:
    """A line a space: what it is, what it holds, what is left to do in it."""
    for space in found:
        state = space["status"] + (", rolled back from" if space["rolled_back_at"] else "")
        _line(
            f"space {space['id']} ({space['kind']}, {state}): {space['model']} {space['revision'][:8]}, "
            f"{space['vectors']:,} vectors of {space['dimensions']} dimensions, {_size(space['bytes'])}; "
            f"index {space['index_state']}, {_size(space['index_bytes'])}{_left(space)}"
        )


def _left(space: dict[str, Any]) -> str:
    if not (space["documents_left"] or space["texts_left"]):
        return ""
    takes = (
        "no run has measured how long" if space["seconds_left"] is None else f"about {duration(space['seconds_left'])}"
    )
    return f"; left: {space['documents_left']:,} documents to chunk, {space['texts_left']:,} texts to embed ({takes})"


def duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:,.0f} min"


def projects(found: list[dict[str, Any]]) -> None:
    table = Table("project", "state", "last read", "source", "settings")
    for project in found:
        settings = ", ".join(f"{key} {value}" for key, value in project["settings"].items() if value not in ([], None))
        failed = "; ".join(f"{stage} failed: {error}" for stage, error in project["failed"].items())
        last = f"{project['refreshed_at']:%Y-%m-%d %H:%M}" if project["refreshed_at"] else "never"
        state = f"[red]{escape(failed)}[/]" if failed else escape(project["state"])
        table.add_row(escape(project["name"]), state, last, escape(project["source"]), escape(settings))
    out.print(table)


def health(found: dict[str, Any]) -> None:
    for check in found["checks"]:
        out.print("[green]well[/]  " if check["healthy"] else "[red]NOT WELL[/] ", end="")
        _line(f"{check['name']}: {check['detail']}")


def _degraded(space: int, missing: int, texts: int) -> None:
    _line(
        f"space {space} is degraded: {missing:,} of {texts:,} texts have no vector; "
        "run rag-assets repair, unless an ingest is bringing them"
    )


def _line(text: str) -> None:
    out.print(text, markup=False)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def _parts(figures: dict[str, Any], *names: str) -> str:
    return ", ".join(f"{figures[name]:,} {name}" for name in names)
