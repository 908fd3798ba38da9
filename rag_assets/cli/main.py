"""rag-assets: the command line, one module a command."""

import gc
import logging
import os
import sys
from typing import Any

import typer

from rag_assets.cli.commands import (
    check,
    embed,
    evaluate,
    explain,
    ingest,
    maintain,
    plan,
    repair,
    search,
    status,
    tune,
    ui,
)
from rag_assets.cli.groups import db, projects, spaces
from rag_assets.cli.seeding import command
from rag_assets.errors import RagAssetsError, RunInterruptedError, UsageError

app = typer.Typer(
    help="Keep documents searchable by meaning in PostgreSQL, and know that they are.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("ingest")(ingest.ingest)
app.command("maintain")(maintain.maintain)
app.command("repair")(repair.repair)
app.command("search")(search.search)
app.command("check")(check.check)
app.command("embed")(embed.embed)
app.command("evaluate")(evaluate.evaluate)
app.command("explain")(explain.explain)
app.command("plan")(plan.plan)
app.command("seed")(command.seed)
app.command("status")(status.status)
app.command("tune")(tune.tune)
app.command("ui")(ui.ui)
app.add_typer(projects.app, name="projects")
app.add_typer(db.app, name="db")
app.add_typer(spaces.app, name="spaces")


def run() -> None:
    """The console script: main, then a prompt end."""
    code: Any = 0
    # Dagster's import makes some hundred thousand objects that all stay; by default they would be walked, in search
    # of garbage, dozens of times.
    gc.set_threshold(100_000, 50, 50)
    try:
        main()
    except SystemExit as end:
        code = end.code
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # All that matters is committed by now. Taking Dagster's and torch's modules apart, object by object, would
    # keep the user waiting for half a second more.
    os._exit(code if isinstance(code, int) else code is not None)


def main() -> None:
    """Run the command line; every expected error is one line on stderr and an exit code."""
    code: Any = 0
    try:
        # By itself typer says what is wrong with the usage in a box of six lines.
        code = app(standalone_mode=False)
    except RagAssetsError as error:
        fail(error)
    except typer.TyperException as error:
        _fail_usage(error)
    except KeyboardInterrupt:
        fail(RunInterruptedError())
    except Exception as error:
        from rag_assets.db.database import unavailable

        service = unavailable(error)
        if service is None:
            raise
        fail(service)
    # typer makes this of an interrupt, and says nothing.
    if code == RunInterruptedError.exit_code:
        fail(RunInterruptedError())
    sys.exit(code)


def _fail_usage(error: typer.TyperException) -> Any:
    said = " ".join(error.format_message().split()).rstrip(".")
    if not said:
        # No command was named, and the help is shown.
        sys.exit(UsageError.exit_code)
    command = getattr(getattr(error, "ctx", None), "command_path", "rag-assets")
    fail(UsageError(f"{said[0].lower()}{said[1:]}; see `{command} --help`."))


def fail(error: RagAssetsError) -> Any:
    print(f"rag-assets: {error}", file=sys.stderr)  # noqa: T201
    sys.exit(error.exit_code)
