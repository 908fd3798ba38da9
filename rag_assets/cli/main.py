"""The command line `rag-assets`. Each command is a module."""

import errno
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
    forget,
    ingest,
    maintain,
    plan,
    repair,
    search,
    status,
    tune,
    ui,
)
from rag_assets.cli.groups import audit, db, keys, projects, spaces
from rag_assets.cli.seeding import command
from rag_assets.cli.serving import mcp, serve, worker
from rag_assets.cli.transfer.export import export_command
from rag_assets.cli.transfer.import_ import import_command
from rag_assets.cli.trial.command import try_command
from rag_assets.errors import RagAssetsError, RunInterruptedError, ServiceError, UsageError

# The disk is full, or only reads.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

app = typer.Typer(
    help="Keep documents searchable in PostgreSQL, and check that they are.",
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
app.command("export")(export_command)
app.command("import")(import_command)
app.command("forget")(forget.forget)
app.command("plan")(plan.plan)
app.command("seed")(command.seed)
app.command("mcp")(mcp.mcp)
app.command("serve")(serve.serve)
app.command("status")(status.status)
app.command("try")(try_command)
app.command("tune")(tune.tune)
app.command("ui")(ui.ui)
app.command("worker")(worker.worker)
app.add_typer(projects.app, name="projects")
app.add_typer(keys.app, name="keys")
app.add_typer(audit.app, name="audit")
app.add_typer(db.app, name="db")
app.add_typer(spaces.app, name="spaces")


def run() -> None:
    """The console script: `main`, then a fast exit."""
    code: Any = 0
    # Importing Dagster creates some hundred thousand objects that stay. By default the garbage collector would traverse
    # them dozens of times.
    gc.set_threshold(100_000, 50, 50)
    try:
        main()
    except SystemExit as end:
        code = end.code
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is committed by now. Finalizing the modules of Dagster and torch would take half a second more.
    os._exit(code if isinstance(code, int) else code is not None)


def main() -> None:
    """Run the command line. Every expected error is one line on stderr and an exit code."""
    code: Any = 0
    try:
        # In standalone mode, typer prints a usage error in a box of six lines.
        code = app(standalone_mode=False)
    except RagAssetsError as error:
        exit_with(error)
    except typer.TyperException as error:
        _exit_with_usage(error)
    except KeyboardInterrupt:
        exit_with(RunInterruptedError())
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        exit_with(ServiceError(f"a file cannot be written: {error}; make room or allow writing, then run again."))
    except Exception as error:
        from rag_assets.db.session.server_errors import explain_error

        explained = explain_error(error)
        if explained is None:
            raise
        exit_with(explained)
    # typer returns this code for an interrupt, without a message.
    if code == RunInterruptedError.exit_code:
        exit_with(RunInterruptedError())
    sys.exit(code)


def _exit_with_usage(error: typer.TyperException) -> Any:
    message = " ".join(error.format_message().split()).rstrip(".")
    if not message:
        # No command was given, and typer has printed the help.
        sys.exit(UsageError.exit_code)
    command = getattr(getattr(error, "ctx", None), "command_path", "rag-assets")
    exit_with(UsageError(f"{message[0].lower()}{message[1:]}; see `{command} --help`."))


def exit_with(error: RagAssetsError) -> Any:
    print(f"rag-assets: {error}{_disk_hint(error)}", file=sys.stderr)  # noqa: T201
    sys.exit(error.exit_code)


def _disk_hint(error: RagAssetsError) -> str:
    """A server or a history that cannot be used may not say that its disk is full."""
    if not isinstance(error, ServiceError) or "make room" in str(error):
        return ""
    from rag_assets.db.reports.health import describe_full_disk
    from rag_assets.settings.settings import load_settings

    try:
        found = describe_full_disk(load_settings().state_dir.expanduser().absolute())
    except (RagAssetsError, OSError):
        return ""
    return f" ({found})" if found else ""
