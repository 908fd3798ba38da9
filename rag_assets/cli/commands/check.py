"""rag-assets check: the checks alone, for CI."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer


def check(
    junit: Annotated[
        Path | None, typer.Option(help="Write the outcome to this file as JUnit XML, each check a test.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
) -> None:
    """Run all checks without materializing anything; exit 1 when one of severity ERROR fails."""
    from rag_assets.cli.runtime import installation
    from rag_assets.cli.runtime.run_job import run_job, say_failed_checks
    from rag_assets.db.database import shared_engine

    started = time.perf_counter()
    shared_engine(installation.enter())
    outcome = run_job("checks")
    if junit is not None:
        from rag_assets.cli.output.junit import write_junit

        write_junit(junit, outcome, seconds=time.perf_counter() - started)
    if as_json:
        report = {"checks": [found.as_json() for found in outcome.checks], "run_ids": [outcome.run_id]}
        sys.stdout.write(json.dumps(report, default=str) + "\n")
    else:
        from rag_assets.cli.output import reports

        reports.check_table(outcome.checks)
    failed = say_failed_checks(outcome)
    if outcome.error is not None and failed:
        # What kept other checks from being made says more than a red check about what to do.
        typer.echo(f"rag-assets: {outcome.error}", err=True)
    if failed:
        raise typer.Exit(1)
    if outcome.error is not None:
        raise outcome.error
