"""rag-assets ui: Dagster's web server and daemon, with the installation's own history."""

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
    """Open the Dagster UI on this machine; Ctrl-C ends it."""
    _refuse_taken(port)
    _prepare()
    typer.echo(f"http://127.0.0.1:{port}", err=True)
    # Whoever opens the UI by this command need not be told of another one.
    warnings.filterwarnings("ignore", "Function `dev_command` is superseded")
    # Dagster ends by what it does on Ctrl-C, whichever signal it gets; and jobs in a shell's background ignore that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["dagster", "dev", "-w", str(WORKSPACE_YAML), "-h", "127.0.0.1", "-p", str(port)]
    # In this very process, where most of Dagster is imported by now: one more would be a second to wait for.
    runpy.run_module("dagster", run_name="__main__", alter_sys=True)


def _refuse_taken(port: int) -> None:
    """Dagster would go on without its web server, and whoever has the port would be taken for it."""
    import socket

    from rag_assets.errors import UsageError

    with socket.socket() as probe:
        # As the web server does: what ended there a moment ago is in nobody's way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UsageError(
                f"port {port} cannot be used ({error.strerror}); name another one: rag-assets ui --port PORT."
            ) from error


def _prepare() -> None:
    """The database runs, its schema is the newest, and there is a partition to click for every project.

    Done here, once, for web server, daemon and steps alike.
    """
    from rag_assets.cli.groups import projects
    from rag_assets.db.database import dispose_engines

    engine, _, _ = projects.enter()
    with engine.begin() as connection:
        _begin_with_topics(connection)
    projects.sync_partitions(engine)
    dispose_engines()


def _begin_with_topics(connection: "Connection") -> None:
    """A new installation has what `rag-assets ingest` begins with; nothing of it is read before someone asks."""
    from rag_assets.documents.sources import TOPICS_NAME, TOPICS_URI
    from rag_assets.projects.store import get_projects, save_project
    from rag_assets.settings.settings import load_settings

    if get_projects(connection):
        return
    yours = "rag-assets projects add NAME SOURCE"
    # Where sensors are on, what is there is read at once.
    if load_settings().automation:
        typer.echo(f"no project yet: {yours}", err=True)
        return
    save_project(connection, TOPICS_NAME, TOPICS_URI, {}, description="Python's own topics")
    typer.echo(f"no project yet: added {TOPICS_NAME} to begin with; yours: {yours}", err=True)
