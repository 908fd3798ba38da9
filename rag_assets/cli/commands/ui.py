"""rag-assets ui: run Dagster's web server and daemon for the installation."""

import runpy
import signal
import sys
import warnings
from typing import TYPE_CHECKING, Annotated

import typer

from rag_assets.cli.runtime.installation import WORKSPACE_YAML

if TYPE_CHECKING:
    from sqlalchemy import Connection


def ui(port: Annotated[int, typer.Option(min=1, max=65535, help="The port of the web server.")] = 3000) -> None:
    """Run the Dagster UI on this machine until Ctrl-C."""
    _check_port(port)
    _prepare_installation()
    typer.echo(f"http://127.0.0.1:{port}", err=True)
    # Dagster recommends `dg dev` here, which this command replaces.
    warnings.filterwarnings("ignore", "Function `dev_command` is superseded")
    # Dagster shuts down by way of SIGINT, whatever signal it gets, and jobs in a shell's background ignore SIGINT.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["dagster", "dev", "-w", str(WORKSPACE_YAML), "-h", "127.0.0.1", "-p", str(port)]
    # In this process, which has imported most of Dagster already: a new one would take a second longer.
    runpy.run_module("dagster", run_name="__main__", alter_sys=True)


def _check_port(port: int) -> None:
    """Raise UsageError for a port in use. Dagster would run without its web server, and another one would answer."""
    import socket

    from rag_assets.errors import UsageError

    with socket.socket() as probe:
        # As the web server does: a connection that has just been closed does not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UsageError(
                f"port {port} cannot be used ({error.strerror}); choose another one: rag-assets ui --port PORT."
            ) from error


def _prepare_installation() -> None:
    """Start the database, upgrade its schema and make a partition for every project.

    Done once here instead of in the web server, the daemon and every step.
    """
    from rag_assets.cli.groups import projects
    from rag_assets.cli.runtime.project_ranges import sync_partitions
    from rag_assets.db.database import dispose_engines

    engine, _, _ = projects.enter()
    with engine.begin() as connection:
        _add_first_project(connection)
    sync_partitions(engine)
    dispose_engines()


def _add_first_project(connection: "Connection") -> None:
    """Add the project of `rag-assets ingest` to a new installation. It is read only when it is materialized."""
    from rag_assets.documents.sources import TOPICS_NAME, TOPICS_URI
    from rag_assets.projects.store import get_projects, save_project
    from rag_assets.settings.settings import load_settings

    if get_projects(connection):
        return
    command = "rag-assets projects add NAME SOURCE"
    # With sensors turned on, the project would be read at once.
    if load_settings().automation:
        typer.echo(f"no project yet; add one: {command}", err=True)
        return
    save_project(connection, TOPICS_NAME, TOPICS_URI, {}, description="Python's own topics")
    typer.echo(f"no project yet: added {TOPICS_NAME} as an example; add yours: {command}", err=True)
