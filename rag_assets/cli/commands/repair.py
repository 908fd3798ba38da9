"""rag-assets repair: find stored rows that are wrong, invalidate them, and let runs rebuild them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_assets.cli.options import JsonOption
from rag_assets.errors import IntegrityError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rag_assets.cli.runtime.run_job import RunOutcome
    from rag_assets.db.spaces.text_kinds import Kind
    from rag_assets.pipeline.repair.damage import Damage
    from rag_assets.pipeline.target.wanted_space import Target
    from rag_assets.settings.settings import Settings

    Targets = Mapping[Kind, Target]

# The assets of a run where the source cannot be read.
WITHOUT_SOURCE = ("chunks", "embeddings", "hnsw_index", "live_space")


def repair(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what is wrong; change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare sources, documents, chunks, vectors and indexes with each other, and repair what is wrong."""
    from rag_assets.cli.output.console import print_json
    from rag_assets.cli.output.progress_bars import show_progress
    from rag_assets.cli.runtime import installation
    from rag_assets.cli.runtime.run_job import exit_on_failure
    from rag_assets.db.database import writable_engine
    from rag_assets.db.spaces.text_kinds import list_kinds
    from rag_assets.pipeline.repair.repair import invalidate_damage, survey_installation
    from rag_assets.pipeline.target.wanted_space import target_space

    settings = installation.enter_background()
    targets: Targets = {kind: target_space(settings, kind) for kind in list_kinds()}
    engine = writable_engine(settings)
    found = list(survey_installation(engine, settings, targets))
    outcomes: list[RunOutcome] = []
    left = found
    if not dry_run and any(damage.mendable for damage in found):
        with show_progress(visible=not as_json):
            invalidate_damage(found)
            outcomes = list(_runs(engine, settings, targets, found))
        left = list(survey_installation(engine, settings, targets))
    report = {
        "dry_run": dry_run,
        "damage": [damage.as_json() for damage in found],
        "left": [damage.as_json() for damage in left],
        "checks": [check.as_json() for outcome in outcomes for check in outcome.checks],
        "run_ids": [outcome.run_id for outcome in outcomes],
    }
    if as_json:
        print_json(report)
    else:
        _print_report(report, outcomes)
    for outcome in outcomes:
        exit_on_failure(outcome)
    if left and not dry_run:
        one = left[0]
        raise IntegrityError(
            f"{one.what} of {one.where} is left ({', '.join(one.examples) or f'{one.rows} rows'}); correct it, "
            "then run rag-assets repair again."
        )


def _runs(
    engine: "Engine", settings: "Settings", targets: "Targets", found: "Sequence[Damage]"
) -> "Iterator[RunOutcome]":
    """The runs that rebuild what was invalidated, one kind of texts after the other."""
    from rag_assets.cli.runtime.project_ranges import project_ranges
    from rag_assets.cli.runtime.run_job import run_job
    from rag_assets.pipeline.refresh import pending_days

    kinds = {damage.kind for damage in found if damage.mendable}
    if "chunks" in kinds:
        unreadable = {damage.where for damage in found if damage.what == "source_unreadable"}
        # With an unreadable source, all documents are read first: the checks of later assets look at all projects.
        for only in (None,) if not unreadable else (("raw_documents",), WITHOUT_SOURCE):
            excluded = unreadable if only == ("raw_documents",) else set()
            for keys in project_ranges(engine, excluded=excluded):
                yield run_job("ingest", partition_range=keys, only=only)
    if "messages" in kinds:
        days = pending_days(engine, settings, targets["messages"]) or [datetime.now(UTC).date()]
        yield run_job("embed_messages", partition_range=(days[0].isoformat(), days[-1].isoformat()))
    for kind in sorted(kinds - {"chunks", "messages"}):
        yield run_job(f"embed_{kind}")


def _print_report(report: dict[str, Any], outcomes: "Sequence[RunOutcome]") -> None:
    from rich.markup import escape
    from rich.table import Column

    from rag_assets.cli.output.checks import print_checks
    from rag_assets.cli.output.console import new_table, out, print_line

    if not report["damage"]:
        print_line("nothing is wrong")
        return
    title = "a repair would correct:" if report["dry_run"] else "found:"
    table = new_table("what", "where", Column("rows", justify="right"), "examples", title=title)
    for damage in report["damage"]:
        examples = ", ".join(damage["examples"])
        table.add_row(damage["what"], escape(damage["where"]), f"{damage['rows']:,}", escape(examples))
    out.print(table)
    if outcomes:
        print_checks(outcomes[-1].checks)
