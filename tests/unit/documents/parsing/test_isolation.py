"""No reader fetches anything, whatever its file asks for: neither from a server nor from the disk it runs on."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from rag_assets.documents.parsing.file_types import VERBATIM, detect_kind
from rag_assets.documents.parsing.parser import DocumentParser
from rag_assets.documents.parsing.subprocess_worker import parse_document
from rag_assets.errors import DocumentError
from tests.support.data.hostile.fetching import fetching_files

SECRET = "5b1c-kept-by-its-owner"

# Names that were looked up and addresses that were connected to in this process, by this thread. An audit hook stays.
_asked: dict[int, list[str]] = {}


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("socket.getaddrinfo", "socket.connect", "socket.gethostbyname", "urllib.Request"):
        _asked.setdefault(threading.get_ident(), []).append(f"{event} {arguments}")


class Listener:
    """Accepts connections on the loopback and remembers that there were any."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def heard(self) -> bool:
        with suppress(BlockingIOError):
            self.socket.accept()[0].close()
            return True
        return False


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()
    yield found
    found.socket.close()


@pytest.fixture
def secret(tmp_path: Path) -> str:
    file = tmp_path / "secret.txt"
    file.write_text(SECRET)
    return str(file)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has seccomp")
def test_a_socket_would_end_the_process() -> None:
    module = "from rag_assets.documents.parsing.isolation import KILL, refuse_sockets"
    done = subprocess.run([sys.executable, "-c", f"{module}; refuse_sockets(KILL); import socket; socket.socket()"])
    assert done.returncode == -signal.SIGSYS


def test_the_listener_hears() -> None:
    heard = Listener()
    with socket.create_connection(("127.0.0.1", int(heard.address.rpartition(":")[2]))):
        assert heard.heard()
    heard.socket.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has seccomp")
def test_no_reader_opens_a_socket_in_the_child(secret: str) -> None:
    """An attempt would end the child with SIGSYS, also one by native code, and also one to ask a name server."""
    refused: dict[str, str] = {}
    with DocumentParser(_worker_module="tests.support.data.hostile.offline_worker") as parser:
        for name, data in fetching_files("http://rag-assets.invalid", secret):
            try:
                found = parser.parse(name, data)
            except DocumentError as error:
                refused[name] = str(error)
            else:
                assert found.content.strip(), name
                assert SECRET not in f"{found}", name
    assert [reason for reason in refused.values() if "died" in reason or "socket" in reason] == []
    # XML with a document type is refused in these formats; all others were read.
    assert {name.rpartition(".")[2] for name in refused} <= {"docx", "xlsx", "pptx", "odt", "odp", "ods"}


def test_no_reader_connects_without_the_child_either(listener: Listener, secret: str) -> None:
    sys.addaudithook(_audit)
    _asked.clear()
    plain = DocumentParser(_worker_module="no.such.module")
    for name, data in fetching_files(listener.address, secret):
        kind = detect_kind(name, data)
        with suppress(DocumentError):
            found = plain.parse(name, data) if kind in VERBATIM else parse_document(kind, data)
            assert SECRET not in f"{found}", name
    assert not listener.heard()
    assert [one for one in _asked.pop(threading.get_ident(), []) if "127.0.0.1" in one] == []
