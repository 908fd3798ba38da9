"""A real streaming standby of an embedded server, made by pg_basebackup."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from rag_assets.db.server import data_directory
from rag_assets.db.server.account import server_account
from rag_assets.db.server.server import EmbeddedServer


class Standby:
    """`url` is its address; `start` and `stop` may be called again and again."""

    def __init__(self, primary: EmbeddedServer, folder: Path) -> None:
        self.data = folder / "data"
        self._programs = data_directory.find_programs(primary.data)
        account = server_account(primary.data, (folder, Path(self._programs.path("postgres"))))
        os.chown(folder, account.uid, account.gid)
        self._folder = folder
        self._lock = (folder / "lock").open("w")
        self._run = data_directory.ProgramRunner(account, folder / "log", self._lock.fileno())
        url = make_url(primary.ensure_running())
        self.url = url.set(query={**url.query, "host": str(folder)}).render_as_string(hide_password=False)
        # A copy of the data, and a standby.signal with the address of the primary.
        argv = [self._programs.path("pg_basebackup"), "-D", str(self.data), "-R", "-X", "stream", "-c", "fast"]
        self._run(
            [*argv, "-d", url.set(drivername="postgresql").render_as_string(hide_password=False)],
            failure="the primary could not be copied",
        )
        self.start()

    def start(self) -> None:
        options = f"-c listen_addresses= -c unix_socket_directories={self._folder} -p 5432"
        argv = [self._programs.path("pg_ctl"), "start", "-D", str(self.data), "-s", "-w", "-t", "60", "-o", options]
        self._run(argv, failure="the standby did not start")

    def stop(self) -> None:
        argv = [self._programs.path("pg_ctl"), "stop", "-D", str(self.data), "-s", "-m", "immediate"]
        self._run(argv, failure="the standby did not stop")

    def close(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self.stop()
        self._lock.close()


@contextmanager
def streaming_standby(primary: EmbeddedServer) -> Iterator[Standby]:
    # Sockets need a short path.
    folder = Path(tempfile.mkdtemp(prefix="standby-"))
    standby = Standby(primary, folder)
    try:
        yield standby
    finally:
        standby.close()
        shutil.rmtree(folder, ignore_errors=True)
