"""What `status`, `status --health`, `spaces list` and `projects list` print."""

from datetime import UTC
from typing import Any

from rich.markup import escape
from rich.table import Column

from rag_assets.cli.output.console import (
    format_duration,
    format_size,
    new_table,
    on_one_line,
    out,
    pluralize,
    print_line,
)
from rag_assets.db.reports.unknown_alphabets import ADVICE


def print_status(report: dict[str, Any]) -> None:
    database, pool, server = report["database"], report["pool"], report["connections"]
    _print_fact(
        "database",
        f"{database['name']}, {format_size(database['bytes'])}, PostgreSQL {database['server']}, "
        f"pgvector {database['pgvector'] or 'missing'}",
    )
    _print_fact("schema", f"revision {database['schema_revision'] or 'none'} of {database['schema_head']}")
    _print_fact(
        "server",
        f"{server['open']} of {server['allowed']} connections, {server['active']} active, "
        f"{server['idle_in_transaction']} idle in a transaction",
    )
    _print_fact(
        "pool",
        f"{pool['in_use']} of {pool['maximum']} connections in use, {pool['waiting']} waiting, "
        f"{pool['timeouts']} timed out, {pool['recycled']} recycled",
    )
    _print_fact("pending", _pending(report["pending"]))
    for project in report["projects"]:
        print_line(f"project {project['name']}: {on_one_line(project['source'])}")
        print_line(
            f"  {pluralize(project['documents'], 'document')}, {pluralize(project['chunks'], 'chunk')}, "
            f"{project['vectors']:,} of {pluralize(project['texts'], 'text')} embedded"
        )
    for batch in report.get("batches", ()):
        _print_batch(batch)
    print_spaces(report["spaces"])
    for one in report["degraded"]:
        print_degraded_space(one["space"], one["missing"], one["texts"])
    for document in report["failed_documents"]:
        print_line(f"failed: {document['project']}/{on_one_line(document['file_path'])}: {document['reason']}")
    for document in report["unknown_alphabets"]:
        name = f"{document['project']}/{on_one_line(document['file_path'])}"
        print_line(
            f"unknown letters: {name}: {document['unknown_share']:.0%} are unknown to {document['model']}; {ADVICE}"
        )
    for remark in report["remarks"]:
        print_remark(remark)


def print_remark(remark: dict[str, Any]) -> None:
    print_line(f"remark: {remark['project']}/{on_one_line(remark['file_path'])}: {'; '.join(remark['notes'])}")


def _pending(pending: dict[str, int]) -> str:
    parts = (
        (pending["documents_to_chunk"], "documents to split"),
        (pending["texts_to_embed"], "texts to embed"),
        (pending["messages_to_embed"], "messages to embed"),
        (pending["memories_to_embed"], "memories to embed"),
        (pending.get("texts_in_batches", 0), "texts in batches at the embedding server"),
    )
    return ", ".join(f"{number:,} {what}" for number, what in parts if number) or "nothing"


def _print_batch(batch: dict[str, Any]) -> None:
    """A batch that is open, or whose texts were submitted again since it failed or expired."""
    if batch["status"] != "fetched":
        error = f": {on_one_line(batch['error'])}" if batch["error"] else ""
        print_line(f"batch {batch['remote_id'] or batch['id']}: {batch['texts']:,} texts, {batch['status']}{error}")


def print_spaces(spaces: list[dict[str, Any]]) -> None:
    for space in spaces:
        state = space["status"] + (", rolled back from" if space["rolled_back_at"] else "")
        print_line(f"space {space['id']} ({space['kind']}, {state}): {space['model']} {space['revision'][:8]}")
        vectors = f"{pluralize(space['vectors'], 'vector')} of {space['dimensions']} dimensions"
        index = f"index {space['index_state']}, {format_size(space['index_bytes'])}"
        print_line(f"  {vectors}, {format_size(space['bytes'])}; {index}{_remaining(space)}")


def _remaining(space: dict[str, Any]) -> str:
    if not (space["documents_left"] or space["texts_left"]):
        return ""
    time = (
        "no run has measured how long"
        if space["seconds_left"] is None
        else f"about {format_duration(space['seconds_left'])}"
    )
    return f"; left: {space['documents_left']:,} documents to split, {space['texts_left']:,} texts to embed ({time})"


def print_projects(projects: list[dict[str, Any]]) -> None:
    if not projects:
        print_line("no project yet; add one with: rag-assets projects add NAME SOURCE")
        return
    source = Column("source", overflow="fold")
    table = new_table("project", "state", Column("last read (UTC)", no_wrap=True), source, "settings")
    for project in projects:
        settings = ", ".join(f"{key} {value}" for key, value in project["settings"].items() if value not in ([], None))
        refreshed_at = project["refreshed_at"]
        last = f"{refreshed_at.astimezone(UTC):%Y-%m-%d %H:%M}" if refreshed_at else "never"
        state = "[red]failed[/]" if project["failed"] else escape(project["state"])
        table.add_row(escape(project["name"]), state, last, escape(project["source"]), escape(settings))
    out.print(table)
    for project in projects:
        for stage, error in project["failed"].items():
            print_line(f"{project['name']}: {stage} failed: {error}")


def print_health(report: dict[str, Any]) -> None:
    for check in report["checks"]:
        out.print("[green]ok[/]      " if check["healthy"] else "[red]FAILED[/]  ", end="")
        print_line(f"{check['name']}: {check['detail']}")


def print_degraded_space(space: int, missing: int, texts: int) -> None:
    print_line(
        f"space {space} is degraded: {missing:,} of {texts:,} texts have no vector; "
        "run rag-assets repair, unless an ingest is bringing them"
    )


def _print_fact(name: str, value: str) -> None:
    print_line(f"{name:<10}{value}")
