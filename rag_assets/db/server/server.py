"""The embedded PostgreSQL server of a state folder: any process starts it when needed, and `stop` alone ends it."""

import contextlib
import os
import secrets
import shlex
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from rag_assets.db.server import data_directory, process
from rag_assets.db.server.account import server_account
from rag_assets.db.server.socket_directory import remove_socket_dir, socket_dir
from rag_assets.db.server.start_lock import ServerLock
from rag_assets.errors import ServiceError, UsageError

# Recovery after a crash replays at most max_wal_size; all else takes seconds.
_START_TIMEOUT_S = 5 * 60
_PREDECESSOR_TIMEOUT_S = 30
_LOG_LIMIT_BYTES = 16 * 1024**2


@dataclass(frozen=True, slots=True)
class ServerStatus:
    running: bool
    pid: int | None
    version: str | None  # the data folder's major version; None before the first start
    data: Path
    log: Path
    size_bytes: int


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """The server whose files lie under `root`."""

    root: Path

    @classmethod
    def at(cls, state_dir: Path) -> "EmbeddedServer":
        return cls((state_dir / "postgres").resolve())

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def log(self) -> Path:
        return self.root / "server.log"

    def ensure_running(self) -> str:
        """Start the server if it does not run, create its data folder the first time, and return its URL.

        Safe in any number of processes and threads; with a running server it costs one connection to its socket.
        Raises UsageError for a state folder of another user, ServiceError when the server cannot start.
        """
        with self._translate_errors():
            running = process.find_answering(self.data)
            if running is None:
                self._make_root()
                lock = self._lock()
                with lock.wait_for_server_or_lock(_START_TIMEOUT_S) as found:
                    running = found or self._start(lock)
            data_directory.truncate_log(self.log, _LOG_LIMIT_BYTES)
            return self._url(running.socket_dir)

    def url(self) -> str:
        """The URL, without starting the server; raises ServiceError when it was never started."""
        with self._translate_errors():
            if not self.data.exists():
                raise ServiceError(f"no embedded server in {self.root} yet: run `rag-assets ingest` first")
            running = process.find_answering(self.data)
            uid = self.data.stat().st_uid
            return self._url(running.socket_dir if running else socket_dir(self.root, uid, create=False))

    def is_running(self) -> bool:
        with self._translate_errors():
            return process.find_answering(self.data) is not None

    def status(self) -> ServerStatus:
        with self._translate_errors():
            running = process.find_answering(self.data)
            return ServerStatus(
                running=running is not None,
                pid=running.pid if running else None,
                version=data_directory.data_version(self.data),
                data=self.data,
                log=self.log,
                size_bytes=data_directory.size_bytes(self.data),
            )

    def stop(self, *, timeout_s: float = 60) -> bool:
        """Stop the server and end its sessions; False if it did not run.

        Raises ServiceError when it still runs after `timeout_s`.
        """
        with self._translate_errors():
            if not self.root.exists():
                return False
            lock = self._lock()
            found = process.find_living(self.data)
            with lock.stop_server(timeout_s):
                if found:
                    remove_socket_dir(found.socket_dir)
            return bool(lock.signalled)

    def _start(self, lock: ServerLock) -> process.PidFile:
        # pg_ctl starts the server through a shell, which would interpret these characters.
        if set(str(self.root)) & set("\"'`$\\\n"):
            raise UsageError(
                f"the path {str(self.root)!r} has a quote, dollar sign, backslash or line break: "
                "choose another state folder with RAG_ASSETS_STATE_DIR"
            )
        programs = data_directory.find_programs(self.data)
        account = server_account(self.data, (self.root, Path(programs.path("postgres"))))
        sockets = socket_dir(self.root, account.uid, create=True)
        _end_predecessor(sockets, account.uid)
        run = data_directory.ProgramRunner(account, self.log, lock.descriptor)
        if not self.data.exists():
            data_directory.initialise(programs, run, self.data, self._new_password())
        elif (owner := self.data.stat().st_uid) != account.uid:
            raise UsageError(
                f"the database in {self.data} belongs to user {owner}, and the server would run as user "
                f"{account.uid}: run as that user, or choose another folder with RAG_ASSETS_STATE_DIR"
            )
        # We hold the lock, so no process of the old server lives. PostgreSQL would refuse to start if another
        # process, or a zombie, had the id in postmaster.pid.
        if process.find_living(self.data) is None:
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            for path in sockets.iterdir():
                path.unlink()
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={sockets}"]
        options += ["-p", str(process.PORT)]
        argv = [programs.path("pg_ctl"), "start", "-D", str(self.data), "-s", "-w"]
        argv += ["-t", str(_START_TIMEOUT_S), "-o", shlex.join(options)]
        run(argv, failure="the embedded server did not start")
        running = process.find_answering(self.data)
        if running is None:
            raise ServiceError(f"the embedded server started, but does not answer in {sockets}: see {self.log}")
        return running

    def _lock(self) -> ServerLock:
        return ServerLock(self.root / "lock", self.data)

    def _make_root(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self._check_owner()
        # The server's user must be able to enter root's folder; the files in it are private.
        self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)

    def _check_owner(self) -> None:
        try:
            owner = self.root.stat().st_uid
        except FileNotFoundError:
            return
        if owner != os.geteuid():
            raise UsageError(
                f"the state folder {self.root} belongs to user {owner}, and this is user {os.geteuid()}: "
                "run as that user, or choose another folder with RAG_ASSETS_STATE_DIR"
            )

    @property
    def _password(self) -> Path:
        return self.root / "password"

    def _new_password(self) -> str:
        password = secrets.token_hex(24)
        data_directory.write_private(self._password, password)
        return password

    def _url(self, sockets: Path) -> str:
        try:
            password = self._password.read_text(encoding="ascii")
        except FileNotFoundError:
            raise ServiceError(
                f"the file {self._password}, which has the database's password, is missing: restore it, "
                f"or delete {self.root} and ingest again"
            ) from None
        name = data_directory.NAME
        return f"postgresql://{name}:{password}@/{name}?host={quote(str(sockets))}&port={process.PORT}"

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            self._check_owner()
            yield
        except OSError as error:
            raise ServiceError(
                f"the state folder {self.root} cannot be used: {error}; make room or allow writing there, "
                "or choose another folder with RAG_ASSETS_STATE_DIR"
            ) from error


def _end_predecessor(sockets: Path, uid: int) -> None:
    """End a server that still listens here although its folder was deleted or moved.

    Immediately and without a checkpoint, which it would write into the present folder.
    """
    begin = time.monotonic()
    while pid := process.find_listener(sockets, uid):
        if time.monotonic() - begin > _PREDECESSOR_TIMEOUT_S:
            raise ServiceError(f"process {pid} still listens in {sockets}: end it, and try again")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT)
        time.sleep(0.05)
