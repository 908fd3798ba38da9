"""The folder of the embedded server's socket: a short path for each state folder, closed to other users."""

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from rag_assets.errors import ServiceError

_PREFIX = "rag_assets-"
_ATTEMPTS = 4


def socket_dir(root: Path, uid: int, *, create: bool) -> Path:
    """The folder for the socket of the server under `root`, which runs as `uid`.

    Not under `root`: a socket's path may have 107 bytes at most, and some shared file systems have no sockets. The
    name is a hash of `root`, so that a URL stays valid after a restart. A name that another user took is skipped.
    """
    candidates = _candidates(root)
    for candidate in candidates:
        if _is_ours(candidate, uid):
            return candidate
        exists = candidate.is_symlink() or candidate.exists()
        # One that root owns is left by a start that was killed before it changed the owner.
        if exists and not _is_ours(candidate, os.geteuid()):
            continue
        if not create and os.access(candidate.parent, os.W_OK | os.X_OK):
            return candidate
        if create and _make(candidate, uid):
            return candidate
    raise ServiceError(
        f"no folder for the server's socket can be made: {', '.join(map(str, candidates))} cannot be written "
        "or belong to another user; remove them, or set TMPDIR to a folder with a short path"
    )


def remove_socket_dir(path: Path) -> None:
    """Remove the folder after the server has stopped."""
    if path.name.startswith(_PREFIX):
        with contextlib.suppress(OSError):
            path.rmdir()


def _make(path: Path, uid: int) -> bool:
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        if uid != os.geteuid():
            os.chown(path, uid, -1, follow_symlinks=False)
    except OSError:
        return False
    return _is_ours(path, uid)


def _candidates(root: Path) -> list[Path]:
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()
    # /tmp first, since TMPDIR may differ from one process to the next.
    bases = dict.fromkeys((Path("/tmp"), Path(tempfile.gettempdir())))  # noqa: S108 - checked by _is_ours
    paths = [base / f"{_PREFIX}{digest[i * 16 : i * 16 + 16]}" for base in bases for i in range(_ATTEMPTS)]
    return [path for path in paths if len(os.fsencode(path)) <= 85]


def _is_ours(path: Path, uid: int) -> bool:
    try:
        info = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == uid and not info.st_mode & 0o077
