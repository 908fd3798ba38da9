"""rag-assets check: run the checks, for CI."""

import time
from pathlib import Path
from typing import Annotated

import typer

from rag_assets.cli.options import JsonOption, VerboseOption


def check(
    junit: Annotated[
        Path | None, typer.Option(help="Also write the results to this file as JUnit XML, each check as a test.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read every row. Without it: what changed, and the next part of the rest.")
    ] = False,
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run all checks and change nothing.

    A check reads the rows that were written since it last passed, and a part of the others: every row within
    RAG_ASSETS_CHECK_ROTATION_RUNS runs. What it left to a later run is in its figures as `rows_left`.

    The exit code is 1 when a check of severity ERROR fails.
    """
    from rag_assets.cli.output.checks import print_checks
    from rag_assets.cli.output.console import print_json
    from rag_assets.cli.runtime import installation
    from rag_assets.cli.runtime.run_job import print_failed_checks, run_job
    from rag_assets.db.database import shared_engine
    from rag_assets.orchestration.assets.conditions import READS_CHANGES

    started = time.perf_counter()
    shared_engine(installation.enter_background())
    outcome = run_job("checks", tags=None if full else READS_CHANGES)
    if junit is not None:
        from rag_assets.cli.output.junit import write_junit

        write_junit(junit, outcome, seconds=time.perf_counter() - started)
    if as_json:
        print_json({"checks": [found.as_json() for found in outcome.checks], "run_ids": [outcome.run_id]})
    else:
        print_checks(outcome.checks, verbose=verbose)
    failed = print_failed_checks(outcome)
    if outcome.error is not None and failed:
        # The error that kept other checks from running says more about what to do than a failed check.
        typer.echo(f"rag-assets: {outcome.error}", err=True)
    if failed:
        raise typer.Exit(1)
    if outcome.error is not None:
        raise outcome.error
