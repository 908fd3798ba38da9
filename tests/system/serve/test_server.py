"""`rag-assets serve` as a process: commands ask it, its port is taken once, and it ends in time."""

import http.client
import json
import signal
import socket
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Engine, text

from tests.support.installation.command_line import Cli, cli
from tests.support.installation.server_process import COMMAND, RunningServer, running_web_server
from tests.system.serve.conftest import ServedInstallation

__all__ = ["cli"]

QUERY = "keeper whale"


def post(server: RunningServer, key: str, body: Any, path: str = "/v1/search") -> tuple[int, Any]:
    parts = urlsplit(server.url)
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)) as connection:
        connection.request("POST", path, json.dumps(body), {"authorization": f"Bearer {key}"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def test_a_command_asks_the_running_server(
    installation: ServedInstallation, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> Any:
        raise AssertionError("the command searches itself")

    monkeypatch.setattr("rag_assets.search.retriever.Retriever.__init__", fail)
    answer = cli("search", QUERY, "--json", "--mode", "text", "--project", "zoo", "-k", "2").json
    _, same = post(installation.server, installation.key, {"query": QUERY, "mode": "text", "project": "zoo", "k": 2})
    assert [hit["chunk_id"] for hit in answer["hits"]] == [hit["chunk_id"] for hit in same["hits"]]
    assert answer.keys() == same.keys()
    assert "zoo/" in cli("search", QUERY, "--mode", "text", "--project", "zoo").out
    assert "there is no project 'none'" in cli("search", QUERY, "--project", "none").error(2)
    assert "no reranker is set" in cli("search", QUERY, "--rerank").error(2)
    # With other settings than the server's, the command searches by itself.
    monkeypatch.setenv("RAG_ASSETS_EF_SEARCH", "77")
    with pytest.raises(AssertionError, match="the command searches itself"):
        cli("search", QUERY)


def test_a_taken_port_is_said(installation: ServedInstallation) -> None:
    port = urlsplit(installation.server.url).port
    result = subprocess.run([COMMAND, "serve", "--port", str(port)], capture_output=True, text=True, timeout=600)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert f"port {port} cannot be used" in result.stderr


def test_hostile_bytes_do_not_end_it(installation: ServedInstallation) -> None:
    """Slow headers, no HTTP, a body that never comes, two lengths."""
    parts = urlsplit(installation.server.url)
    start = f"POST /v1/search HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {installation.key}\r\n".encode()
    sockets = []
    for sent in (
        b"\x00\xff" * 1000,
        b"GET / HTTP/9.9\r\n\r\n",
        start,
        start + b"Content-Length: 10\r\n\r\n{",
        start + b"Content-Length: 10\r\nContent-Length: 20\r\n\r\n{}",
        start + b"Content-Length: -1\r\n\r\n{}",
        start + b"X: " + b"x" * 200_000,
    ):
        connection = socket.create_connection((parts.hostname, parts.port), timeout=10)
        connection.sendall(sent)
        sockets.append(connection)
    assert post(installation.server, installation.key, {"query": QUERY, "mode": "text"})[0] == 200
    for connection in sockets:
        connection.close()


def test_it_ends_within_its_grace(built: Engine, tmp_path: Path, cli: Cli) -> None:
    """Also while it loads its model, and while a search waits for a lock."""
    key = cli("keys", "add", "one").out.strip()
    with running_web_server(tmp_path, "--grace-s", "2", wait_for="/healthz") as server:
        file = tmp_path / "state" / "serve.json"
        assert file.stat().st_mode & 0o777 == 0o600
        with built.begin() as connection:
            connection.execute(text("LOCK TABLE rag.documents IN ACCESS EXCLUSIVE MODE"))
            answers: list[Any] = []
            body = {"query": QUERY, "mode": "text"}
            asking = threading.Thread(target=lambda: answers.append(post(server, key, body)))
            asking.start()
            while not connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
                time.sleep(0.05)
            started = time.monotonic()
            assert server.stop(signal.SIGINT) == 0
            assert time.monotonic() - started < 20
            asking.join(30)
            assert answers[0][0] == 503
            assert connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")) == 0
        assert not file.exists()
        assert "Traceback" not in server.log.read_text()
