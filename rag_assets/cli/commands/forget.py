"""rag-assets forget: remove everything of users and documents, and prove it."""

from typing import TYPE_CHECKING, Annotated

import typer

from rag_assets.cli.options import JsonOption
from rag_assets.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    from rag_assets.repositories.erasure.traces import ErasureReport


def forget(
    user: Annotated[
        list[str] | None,
        typer.Option(help="A user: an e-mail address, an id, or a name as documents declare it; repeatable."),
    ] = None,
    document: Annotated[list[str] | None, typer.Option(help="A document: PROJECT/PATH, or its id; repeatable.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what is stored; remove nothing.")] = False,
    read_again: Annotated[
        bool,
        typer.Option("--read-again", help="Let the next ingest read forgotten documents again; remove nothing."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove everything of a user or a document for good, and report what was stored before and is left after.

    Exits with 1 if anything is left. A forgotten document is not read from its source again.
    """
    from rag_assets.cli.output.console import print_json, print_line
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import writable_engine
    from rag_assets.repositories.base import translate_errors
    from rag_assets.repositories.erasure.document_erasure import erase_document, locate_document
    from rag_assets.repositories.erasure.user_erasure import erase_user
    from rag_assets.repositories.operations.documents import refuse_path

    users, documents = user or [], document or []
    if not users and not documents:
        raise UsageError("nothing to forget is named; give --user USER or --document PROJECT/PATH.")
    if read_again and (users or dry_run):
        raise UsageError("--read-again is for documents alone; leave --user and --dry-run out.")
    settings = installation.enter()
    engine = writable_engine(settings)
    with translate_errors():
        if read_again:
            with engine.begin() as connection:
                for given in documents:
                    found = locate_document(connection, given)
                    refuse_path(connection, found.project.id, found.path, refused=False)
                    print_line(f"the next ingest of {found.project.name} reads {found.path} again")
            return
        reports = [erase_user(engine, given, dry_run=dry_run) for given in users]
        reports += [erase_document(engine, given, wait_s=settings.lock_wait_s, dry_run=dry_run) for given in documents]
    complete = all(not report.left for report in reports)
    if as_json:
        print_json({"dry_run": dry_run, "complete": complete, "forgotten": [report.as_json() for report in reports]})
    else:
        for report in reports:
            _print_erasure(report)
    if not complete and not dry_run:
        left = next(report for report in reports if report.left)
        raise IntegrityError(
            f"rows of {left.kind} {left.name} are left in {', '.join(left.left)}: something wrote them meanwhile; "
            "run rag-assets forget again."
        )


def _print_erasure(report: "ErasureReport") -> None:
    from rich.markup import escape
    from rich.table import Column

    from rag_assets.cli.output.console import new_table, on_one_line, out, print_line

    numbers = [Column(name, justify="right") for name in ("before", "removed", "after")]
    table = new_table("table", *numbers, title=escape(f"{report.kind} {on_one_line(report.name)}"))
    for one in report.tables:
        table.add_row(one.table, f"{one.before:,}", f"{one.removed:,}", f"{one.after:,}")
    out.print(table)
    if report.shared_vectors:
        print_line(f"{report.shared_vectors:,} vectors stay: other texts are the same.")
    for note in report.notes:
        print_line(f"- {note}.")
