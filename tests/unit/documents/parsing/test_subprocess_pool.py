"""Parsers that hang, use too much memory, crash or print, in real child processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from rag_assets.documents.parsing.parser import DocumentParser
from rag_assets.errors import DocumentError, UsageError
from tests.support.paths import ROOT

WORKER = "tests.support.misbehaving_worker"


@pytest.fixture(scope="module")
def parser() -> Iterator[DocumentParser]:
    with DocumentParser(timeout_s=30, memory_mb=300, _worker_module=WORKER) as parser:
        yield parser


def parse_command(parser: DocumentParser, command: str) -> str:
    return parser.parse("x.pdf", b"%PDF-" + command.encode()).content


def children() -> set[int]:
    found = set()
    for thread in Path("/proc/self/task").iterdir():
        # A thread or a child may end after it was listed.
        with suppress(FileNotFoundError, ProcessLookupError):
            for pid in (thread / "children").read_text().split():
                with suppress(FileNotFoundError, ProcessLookupError):
                    if "misbehaving" in Path(f"/proc/{pid}/cmdline").read_text():
                        found.add(int(pid))
    return found


@pytest.mark.parametrize("behaviour", ["hang", "hang in native code"])
def test_a_parser_over_the_time_limit_is_killed_and_the_next_document_parsed(behaviour: str) -> None:
    with DocumentParser(timeout_s=1, _worker_module=WORKER) as parser:
        with pytest.raises(DocumentError, match="the parser did not finish within 1 s"):
            parse_command(parser, behaviour)
        assert "fine" in parse_command(parser, "fine")


@pytest.mark.parametrize("behaviour", ["eat memory slowly", "eat memory at once"])
def test_a_parser_over_the_memory_limit_is_killed_and_the_next_document_parsed(
    parser: DocumentParser, behaviour: str
) -> None:
    with pytest.raises(DocumentError, match="the parser used more than 300 MB"):
        parse_command(parser, behaviour)
    assert "fine" in parse_command(parser, "fine")


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("die", r"the parser died of signal 11 \(SIGSEGV\)"),
        ("abort", r"the parser died of signal 6 \(SIGABRT\)"),
        ("leave", "the parser ended with exit code 3"),
        ("exit", "the parser gave up: SystemExit: 4"),
        ("panic", "the parser gave up: Panic: index out of bounds: the len is 3"),
        ("recurse", "it is nested too deeply to be parsed"),
        ("fail", "the parser failed: KeyError: 'xref'"),
    ],
)
def test_a_crash_of_the_parser_fails_one_document(parser: DocumentParser, behaviour: str, reason: str) -> None:
    with pytest.raises(DocumentError, match=reason):
        parse_command(parser, behaviour)
    assert "fine" in parse_command(parser, "fine")


def test_output_of_a_parser_on_stdout_does_not_corrupt_the_protocol(parser: DocumentParser) -> None:
    assert parse_command(parser, "chatter") == "read '' from stdin"


def test_the_result_of_a_parser_is_cleaned(parser: DocumentParser) -> None:
    read = parser.parse("x.pdf", b"%PDF-dirty")
    assert (read.title, read.content) == ("a title of two lines", "one\ntwo")
    assert read.metadata == {"nan": None, "who": "{1, 2}"}


def test_one_child_serves_many_documents(parser: DocumentParser) -> None:
    assert parse_command(parser, "one").split(":")[0] == parse_command(parser, "two").split(":")[0]


def test_the_child_imports_only_what_the_document_needs(
    parser: DocumentParser,
) -> None:
    modules = set(parse_command(parser, "modules").split())
    assert "rag_assets.documents.parsing.subprocess_worker" in modules or "tests.support.misbehaving_worker" in modules
    assert not modules & {"torch", "dagster", "numpy", "xberg", "pydantic", "sqlalchemy"}


def test_the_child_inherits_no_socket() -> None:
    with socket.socket() as ours, DocumentParser(_worker_module=WORKER) as parser:
        os.set_inheritable(ours.fileno(), True)
        assert parse_command(parser, "sockets") == ""


def test_a_text_longer_than_the_limit_is_refused() -> None:
    with (
        DocumentParser(max_bytes=1_000_000, _worker_module=WORKER) as parser,
        pytest.raises(DocumentError, match="longer"),
    ):
        parse_command(parser, "huge")


def test_no_child_is_started_for_plain_text() -> None:
    with DocumentParser(_worker_module="no.such.module") as parser:
        assert parser.parse("a.md", b"# Title\n").title == "Title"


def test_the_error_of_a_worker_that_cannot_start_has_its_output() -> None:
    with (
        DocumentParser(_worker_module="no.such.module") as parser,
        pytest.raises(DocumentError, match="No module named"),
    ):
        parse_command(parser, "fine")


def test_threads_share_the_workers_and_get_their_own_results() -> None:
    before = children()
    with DocumentParser(workers=2, _worker_module=WORKER) as parser, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: parse_command(parser, f"document {number}"), range(200)))
        assert len(children() - before) <= 2
    assert [answer.split("-")[1] for answer in answers] == [f"document {number}" for number in range(200)]
    assert len({answer.split(":")[0] for answer in answers}) <= 2


def test_closing_stops_a_child_that_is_parsing() -> None:
    before = children()
    parser = DocumentParser(_worker_module=WORKER)
    reasons: list[str] = []

    def hang() -> None:
        with pytest.raises(DocumentError) as caught:
            parse_command(parser, "hang")
        reasons.append(str(caught.value))

    thread = threading.Thread(target=hang)
    thread.start()
    while not children() - before:
        time.sleep(0.01)
    parser.close()
    thread.join(5)
    assert reasons == ["the parser was closed while this document was being parsed"]
    assert children() == before
    with pytest.raises(UsageError, match="closed"):
        parse_command(parser, "fine")


def test_the_child_outlives_the_thread_that_started_it() -> None:
    with DocumentParser(_worker_module=WORKER) as parser:
        answers: list[str] = []
        for _ in range(2):
            thread = threading.Thread(target=lambda: answers.append(parse_command(parser, "fine")))
            thread.start()
            thread.join()
        assert answers[0] == answers[1]


@pytest.mark.skipif(sys.platform != "linux", reason="on other systems only an idle child notices")
@pytest.mark.parametrize("behaviour", ["fine", "hang", "hang in native code"])
def test_the_child_exits_when_its_parent_is_killed(behaviour: str) -> None:
    script = f"""
        import sys, threading, time
        sys.path.insert(0, {str(ROOT)!r})
        from pathlib import Path
        from rag_assets.documents.parsing.parser import DocumentParser
        parser = DocumentParser(_worker_module={WORKER!r})
        threading.Thread(target=lambda: parser.parse("x.pdf", b"%PDF-{behaviour}"), daemon=True).start()
        child = ""
        while not child:
            time.sleep(0.01)
            tasks = Path("/proc/self/task").iterdir()
            child = "".join((task / "children").read_text() for task in tasks).strip()
        time.sleep(0.5)
        print(child, flush=True)
        time.sleep(3600)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while is_running(child):
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        # A zombie is dead; it only has not been waited for yet.
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_parser_has_an_environment_and_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_ASSETS_DATABASE_URL", "postgresql://u:secret@host/db")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with DocumentParser(_worker_module=WORKER) as parser:
        found = json.loads(parse_command(parser, "environment"))
        folder = Path(found["folder"])
        assert (folder / "left behind").exists()
    assert not folder.exists()
    assert found["home"] == found["folder"] != str(Path.cwd())
    allowed = ("LC_", "PYTHON", "OMP_", "COV", "LANG", "DYLD_", "LD_", "HOME", "PATH", "TMPDIR", "TZ", "MALLOC_")
    assert [name for name in found["names"] if not name.startswith(allowed)] == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has seccomp")
def test_a_parser_opens_no_socket(parser: DocumentParser, tmp_path: Path) -> None:
    at = str(tmp_path / "socket")
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(at, family=socket.AF_UNIX):
        for target in (listener.getsockname()[1], at):
            assert parse_command(parser, f"connect to {target}") == "refused: [Errno 13] Permission denied"
