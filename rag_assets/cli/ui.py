"""rag-assets ui: Dagster's web server and daemon, with the installation's own history."""

import os
import sys
from typing import Annotated

import typer


def ui(port: Annotated[int, typer.Option(help="The port of the web server.")] = 3000) -> None:
    """Open the Dagster UI on this machine; Ctrl-C ends it."""
    from rag_assets.cli import home
    from rag_assets.db.engine import database_url

    # Started here, once, so that web server, daemon and steps all find the database running.
    database_url(home.enter())
    typer.echo(f"http://127.0.0.1:{port}", err=True)
    arguments = ["dagster", "dev", "-m", "rag_assets.definitions", "-h", "127.0.0.1", "-p", str(port)]
    os.execv(sys.executable, [sys.executable, "-m", *arguments])  # noqa: S606
