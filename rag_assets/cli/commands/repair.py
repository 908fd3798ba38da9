"""rag-assets repair: compare everything with what it should be, and let the runs that ingest put right what differs."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_assets.errors import IntegrityError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rag_assets.cli.runtime.run_job import Outcome
    from rag_assets.db.spaces.text_kinds import Kind
    from rag_assets.pipeline.repair.damage import Damage
    from rag_assets.pipeline.target.wanted_space import Target
    from rag_assets.settings.settings import Settings

    Targets = Mapping[Kind, Target]

# What a run does where the source cannot be read: everything after it.
WITHOUT_SOURCE = ("chunks", "embeddings", "hnsw_index", "live_space")


def repair(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what differs; change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
) -> None:
    """Compare sources, documents, chunks, vectors and indexes by what is in the tables, and put right what differs."""
    from rag_assets.cli.output import progress_bars
    from rag_assets.cli.runtime import installation
    from rag_assets.cli.runtime.run_job import finish
    from rag_assets.db.database import shared_engine
    from rag_assets.db.spaces.text_kinds import list_kinds
    from rag_assets.pipeline.repair.repair import invalidate_damage, survey_installation
    from rag_assets.pipeline.target.wanted_space import target_space

    settings = installation.enter()
    targets: Targets = {kind: target_space(settings, kind) for kind in list_kinds()}
    engine = shared_engine(settings)
    found = list(survey_installation(engine, settings, targets))
    outcomes: list[Outcome] = []
    left = found
    if not dry_run and any(damage.mendable for damage in found):
        with nullcontext() if as_json else progress_bars.shown():
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
        sys.stdout.write(json.dumps(report, default=str) + "\n")
    else:
        _show(report, outcomes)
    for outcome in outcomes:
        finish(outcome)
    if left and not dry_run:
        one = left[0]
        raise IntegrityError(
            f"{one.what} of {one.where} is left ({', '.join(one.examples) or f'{one.rows} rows'}); mend what it says, "
            "then run rag-assets repair again."
        )


def _runs(engine: "Engine", settings: "Settings", targets: "Targets", found: "Sequence[Damage]") -> "Iterator[Outcome]":
    """The runs that make anew what is missing by now, kind by kind."""
    from rag_assets.cli.runtime.run_job import run_job
    from rag_assets.pipeline.refresh import pending_days

    kinds = {damage.kind for damage in found if damage.mendable}
    if "chunks" in kinds:
        unreadable = {damage.where for damage in found if damage.what == "source_unreadable"}
        # In one go where that can be; else all documents first, for what checks say is of all projects.
        for only in (None,) if not unreadable else (("raw_documents",), WITHOUT_SOURCE):
            left_out = unreadable if only == ("raw_documents",) else set()
            for keys in _stretches(engine, left_out):
                yield run_job("ingest", partition_range=keys, only=only)
    if "messages" in kinds:
        days = pending_days(engine, settings, targets["messages"]) or [datetime.now(UTC).date()]
        yield run_job("embed_messages", partition_range=(days[0].isoformat(), days[-1].isoformat()))
    for kind in sorted(kinds - {"chunks", "messages"}):
        yield run_job(f"embed_{kind}")


def _stretches(engine: "Engine", left_out: set[str]) -> list[tuple[str, str]]:
    """The other projects as ranges of keys: few runs, whatever the order in which they were made."""
    from rag_assets.cli.runtime import installation
    from rag_assets.orchestration.partitions import projects
    from rag_assets.projects.store import partition_names

    with engine.connect() as connection:
        names = list(partition_names(connection))
    installation.instance().add_dynamic_partitions(str(projects.name), names)
    wanted = set(names) - left_out
    found: list[tuple[str, str]] = []
    going_on = False
    for key in installation.instance().get_dynamic_partitions(str(projects.name)):
        if key in wanted:
            found = [*found[:-1], (found[-1][0], key)] if going_on else [*found, (key, key)]
        going_on = key in wanted
    return found


def _show(report: dict[str, Any], outcomes: "Sequence[Outcome]") -> None:
    from rich.markup import escape
    from rich.table import Table

    from rag_assets.cli.output import reports

    if not report["damage"]:
        reports.out.print("nothing differs from what it should be")
        return
    title = "what a repair would put right" if report["dry_run"] else "what was found"
    table = Table("what", "where", "rows", "", title=title, title_justify="left")
    for damage in report["damage"]:
        shown = ", ".join(damage["examples"])
        table.add_row(damage["what"], escape(damage["where"]), f"{damage['rows']:,}", escape(shown))
    reports.out.print(table)
    if outcomes:
        reports.check_table(outcomes[-1].checks)
