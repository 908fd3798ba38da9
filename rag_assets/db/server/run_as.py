"""Run a command as another user with one capability kept: `run_as.py UID GID CAPABILITY|- COMMAND...`.

For root. It is a script, since `preexec_fn` is not safe in a process with threads, and imports nothing of this package,
so that it starts in milliseconds with `python -I -S`.
"""

import ctypes
import os
import sys

_PR_SET_SECUREBITS, _NO_SETUID_FIXUP = 28, 1 << 2
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAPABILITY_VERSION_3 = 0x20080522


def _prctl(libc: ctypes.CDLL, *args: int) -> None:
    if libc.prctl(*(ctypes.c_ulong(arg) for arg in (*args, *(0,) * (5 - len(args))))):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _keep_only(libc: ctypes.CDLL, capability: int) -> None:
    """Drop all other capabilities, and pass this one on through exec, and so to every backend."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    mask = 1 << capability
    # Two records of effective, permitted and inheritable bits; the capabilities in use are in the low one.
    data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    if libc.capset(header, data):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    _prctl(libc, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def main(uid: int, gid: int, capability: int | None, command: list[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if capability is not None:
        # PostgreSQL checks its files by access(), which ignores the capabilities of every user but root
        # unless this bit is set.
        _prctl(libc, _PR_SET_SECUREBITS, _NO_SETUID_FIXUP)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if capability is not None:
        _keep_only(libc, capability)
    os.execv(command[0], command)  # noqa: S606 - the purpose of this script; the command comes from account.py


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), int(sys.argv[2]), None if sys.argv[3] == "-" else int(sys.argv[3]), sys.argv[4:])
    except OSError as error:
        sys.exit(f"FATAL: cannot run {sys.argv[4]} as user {sys.argv[1]}: {error}")
