"""Run a command where the whole file system is read-only but a folder in memory for temporary files."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

MEMORY = "/dev/shm"
# Root needs no user namespace; others get one, where the system lets them.
_UNSHARE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
_SCRIPT = 'mount -o remount,ro,bind / && exec "$@"'


def in_read_only_root(command: Sequence[str]) -> list[str]:
    return [*_UNSHARE, "sh", "-c", _SCRIPT, "sh", *command]


@cache
def can_be_read_only() -> bool:
    """Whether this system lets the tests make their own file system read-only."""
    try:
        command = in_read_only_root(["sh", "-c", 'test ! -w /usr && touch "$0/x" && rm "$0/x"', MEMORY])
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@contextmanager
def memory_folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="rag-tmp-", dir=MEMORY)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
