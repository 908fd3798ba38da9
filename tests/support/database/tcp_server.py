"""A PostgreSQL server of its own that listens on TCP, as one on another machine does."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import URL, make_url

from rag_assets.db.connections.engines import DRIVER
from rag_assets.db.server.account import server_account
from rag_assets.db.server.data_directory import find_programs
from tests.support.orchestration.dagster_servers import free_port

_PASSWORD = "s3cret"
_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "max_connections": "200", "max_wal_size": "256MB"}


@contextmanager
def running_tcp_server() -> Iterator[URL]:
    """The address of its database `postgres`, as the superuser; it is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="rag-tcp-"))
    data, password = folder / "data", folder / "password"
    password.write_text(_PASSWORD)
    programs, port = find_programs(data), free_port()
    # PostgreSQL refuses to run as root, and its programs may be in a folder that is closed to others.
    account = server_account(data, (folder, Path(programs.path("postgres"))))
    for path in (folder, password):
        os.chown(path, account.uid, account.gid)
    arguments = ["-D", str(data), "-U", "rag", f"--pwfile={password}", "--auth=scram-sha-256", "-E", "UTF8", "-N"]
    make = account.command([programs.path("initdb"), *arguments])
    subprocess.run(make, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    options = [one for name, value in _SETTINGS.items() for one in ("-c", f"{name}={value}")]
    listen = ["-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", ""]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            account.command([programs.path("postgres"), *listen, *options]), cwd=folder, stdout=log, stderr=log
        )
    try:
        url = make_url(f"{DRIVER}://rag:{_PASSWORD}@127.0.0.1:{port}/postgres")
        _wait_until_ready(url, process, folder / "log")
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_ready(url: URL, process: "subprocess.Popen[bytes]", log: Path) -> None:
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            psycopg.connect(address, connect_timeout=5).close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"no answer within 60 s: {log.read_text()}")
