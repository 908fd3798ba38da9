"""Run psql without its password in the arguments, which every user of the machine can list."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rag_assets.db.connections.engines import database_url
from rag_assets.errors import UsageError
from rag_assets.settings.settings import Settings


def run_psql(settings: Settings, arguments: Sequence[str]) -> int:
    """Run psql on the database in use; returns its exit code."""
    program = _find_psql(settings)
    url = database_url(settings)
    values: dict[str, Any] = {"host": url.host, "port": url.port, "dbname": url.database, "user": url.username}
    values |= {"password": url.password, **url.query}
    lines = [f"{name}={value}" for name, value in values.items() if value is not None]
    with tempfile.TemporaryDirectory(prefix="rag-assets-psql-") as folder:
        file = Path(folder) / "service.conf"
        file.touch(mode=0o600)
        file.write_text("\n".join(["[rag_assets]", *lines, ""]))
        # Ctrl-C cancels a query in psql, and must not end this process before it.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return subprocess.run(  # noqa: S603
                [program, "service=rag_assets", *arguments],
                env=os.environ | {"PGSERVICEFILE": str(file)},
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                check=False,
            ).returncode
        finally:
            signal.signal(signal.SIGINT, before)


def _find_psql(settings: Settings) -> str:
    """The psql of the PATH, else the one that comes with the embedded server."""
    found = shutil.which("psql")
    if found is not None:
        return found
    from rag_assets.db.server.data_directory import find_programs
    from rag_assets.db.server.server import EmbeddedServer

    try:
        bundled = Path(find_programs(EmbeddedServer.at(settings.state_dir).data).path("psql"))
    except UsageError:
        bundled = None
    if bundled is None or not bundled.is_file():
        raise UsageError("psql is not installed; install PostgreSQL's client programs, or 'rag_assets[local]'.")
    return str(bundled)
