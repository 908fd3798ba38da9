"""Background work gives way to searches on the same machine: a lower priority of its process and of its sessions.

The priority is that of the operating system (`nice`), which costs nothing while a processor is idle. A session gets it
where its server runs on this machine, as the embedded one does. An unprivileged process cannot raise it again.
"""

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

# Process, user and group of the other end of a socket.
_CREDENTIALS = struct.Struct("3i")
_FOREGROUND = "foreground"


class _Background:
    """Of this process: how nice it is, and the thread that keeps the priority which the process had before."""

    nice = 0
    pid = 0
    foreground: ThreadPoolExecutor | None = None


def give_way(nice: int) -> None:
    """Lower the priority of this thread, of those that it starts, and of the sessions that the process opens."""
    if nice <= 0 or _Background.nice or not hasattr(os, "setpriority"):
        return
    # On Linux each thread has its own priority, which it inherits from the one that starts it.
    _Background.foreground = ThreadPoolExecutor(1, thread_name_prefix=_FOREGROUND)
    _Background.foreground.submit(os.getpid).result()
    _Background.nice, _Background.pid = nice, os.getpid()
    _lower(0, nice)


def run_at_own_priority(work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """The result of work that does not give way: it starts a server, or measures searches.

    The sessions that it opens keep their priority too.
    """
    # A forked process has no such thread.
    if _Background.foreground is None or _Background.pid != os.getpid():
        return work(*args, **kwargs)
    return _Background.foreground.submit(work, *args, **kwargs).result()


def lower_background_session(connection: Any) -> None:
    """Lower the priority of a new session, if this process does background work."""
    if _Background.nice and not threading.current_thread().name.startswith(_FOREGROUND):
        lower_session(connection, _Background.nice)


def lower_session(connection: Any, nice: int, workers: Iterable[int] = ()) -> None:
    """Lower the priority of a session, and of the processes that work for it."""
    if nice <= 0 or not hasattr(os, "setpriority"):
        return
    server = _local_server(connection)
    for pid in (connection.info.backend_pid, *workers):
        # The server may be in a container, where its processes have other numbers.
        if server and _parent(pid) == server:
            _lower(pid, nice)


def _local_server(connection: Any) -> int | None:
    """The process that listens at the other end of a connection, if that is a socket of this machine."""
    import psycopg

    try:
        with closing(socket.socket(fileno=os.dup(connection.pgconn.socket))) as other:
            if other.family != socket.AF_UNIX:
                return None
            return int(_CREDENTIALS.unpack(other.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])
    except (AttributeError, OSError, psycopg.Error):
        # Not every system tells.
        return None


def _parent(pid: int) -> int | None:
    try:
        # The name, in parentheses, may have spaces.
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _lower(pid: int, nice: int) -> None:
    # It may have ended, or belong to another user.
    with suppress(OSError):
        if os.getpriority(os.PRIO_PROCESS, pid) < nice:
            os.setpriority(os.PRIO_PROCESS, pid, nice)
