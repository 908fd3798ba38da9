"""A real pgbouncer in transaction mode in front of the test server: each transaction gets the next backend."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL

from tests.support.orchestration.dagster_servers import free_port

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
needs_pgbouncer = pytest.mark.skipif(
    PGBOUNCER is None, reason="pgbouncer is not installed (Debian: apt install pgbouncer)"
)

_CONFIG = """\
[databases]
* = host={host} port={port} user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
server_round_robin = 1
max_client_conn = 300
ignore_startup_parameters = {ignored}
"""


@contextmanager
def run_pgbouncer(server: URL, *, ignored: str = "extra_float_digits") -> Iterator[URL]:
    """Yield the address of the server through pgbouncer, on a port that does not reveal the pooler."""
    assert PGBOUNCER is not None
    folder = Path(tempfile.mkdtemp(prefix="rag-pgbouncer-"))
    port = free_port()
    host = str(server.query["host"])
    config = folder / "pgbouncer.ini"
    config.write_text(
        _CONFIG.format(
            host=host,
            port=server.query.get("port", 5432),
            user=server.username,
            password=server.password,
            listen_port=port,
            ignored=ignored,
        )
    )
    # pgbouncer refuses to run as root, and only the server's user may enter the folder of its socket.
    user = Path(host).stat().st_uid
    for path in (folder, config):
        os.chown(path, user, -1)
    log = (folder / "log").open("w+")
    process = subprocess.Popen(
        [PGBOUNCER, str(config)], stdout=log, stderr=log, user=user if os.geteuid() == 0 else None
    )
    url = server.set(host="127.0.0.1", port=port, username="anyone", password="any", query={})
    try:
        _await(url, process, folder / "log")
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _await(url: URL, process: "subprocess.Popen[bytes]", log: Path) -> None:
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    for _ in range(200):
        try:
            psycopg.connect(address, connect_timeout=5).close()
        except psycopg.OperationalError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        else:
            return
    pytest.fail(log.read_text())
