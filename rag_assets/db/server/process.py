"""Finds a PostgreSQL server by its postmaster.pid, its socket and its processes."""

import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

PORT = 5432  # Only names the socket's file: the server listens on no TCP port.


@dataclass(frozen=True, slots=True)
class PidFile:
    pid: int
    data: Path
    socket_dir: Path
    status: str  # starting, ready, stopping, standby; empty until the server has written it

    @property
    def ready(self) -> bool:
        return self.status == "ready"


def read_pid_file(data: Path) -> PidFile | None:
    """The data folder's postmaster.pid; None when it is missing or incomplete."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        pid = abs(int(lines[0]))
    except (FileNotFoundError, IndexError, ValueError):
        return None
    lines += [""] * (8 - len(lines))
    return PidFile(pid, Path(lines[1]), Path(lines[4]), lines[7].strip())


def find_answering(data: Path) -> PidFile | None:
    """The pid file of a server that accepts connections and serves this folder, else None."""
    found = read_pid_file(data)
    if found is None or not found.ready or found.data != data:
        return None
    return found if find_listener(found.socket_dir, data.stat().st_uid) is not None else None


def find_living(data: Path) -> PidFile | None:
    """The pid file of a server whose process lives, in any state, else None."""
    found = read_pid_file(data)
    return found if found and _is_postmaster(found.pid, data) else None


def socket_path(socket_dir: Path) -> Path:
    return socket_dir / f".s.PGSQL.{PORT}"


def find_listener(socket_dir: Path, uid: int) -> int | None:
    """The id of this user's process that listens on the socket, 0 if it is unknown, else None.

    Only a living postmaster listens: its children close the socket, and the kernel closes that of a dead one.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(socket_path(socket_dir)))
        except (BlockingIOError, TimeoutError):
            return 0  # The queue of connections is full, so there is a listener.
        except OSError:
            return None
        if sys.platform != "linux":
            return 0
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid, owner = (int.from_bytes(credentials[i : i + 4], sys.byteorder) for i in (0, 4))
        return pid if owner == uid else None


def find_orphans(data: Path) -> list[int]:
    """Processes that outlived their killed postmaster: one with a long query notices only at its end."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            # The title of a child; a postmaster has its path there.
            is_child = (process / "cmdline").read_bytes().startswith(b"postgres: ")
        except OSError:
            continue
        if is_child and _is_postgres_in(process, data, if_unknown=False):
            found.append(int(process.name))
    return found


def has_same_mounts(pid: int) -> bool:
    """Whether that process sees the same folders: not in another container, nor under PrivateTmp."""
    try:
        return Path(f"/proc/{pid}/ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink()
    except OSError:
        return True


def _is_postmaster(pid: int, data: Path) -> bool:
    """Whether the process is a living server of this folder, not a zombie or another process with a reused id."""
    if sys.platform == "linux":
        return _is_postgres_in(Path(f"/proc/{pid}"), data, if_unknown=True)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _is_postgres_in(process: Path, data: Path, *, if_unknown: bool) -> bool:
    try:
        name, _, rest = (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(") ")
        if rest[0] in "ZX" or not name.endswith("(postgres"):
            return False
        return (process / "cwd").readlink() == data
    except PermissionError:
        return if_unknown  # Root without CAP_SYS_PTRACE may not read the working folder of others.
    except OSError:
        return False
