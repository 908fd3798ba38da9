"""What a process that parses files of strangers gives up: the network, a life of its own, memory without end."""

import ctypes
import os
import platform
import resource
import signal
import sys
from errno import EACCES
from typing import Final

_MIB: Final = 1024 * 1024
# Threads and mapped libraries take this much address space before anything is parsed; it is not used memory.
_ADDRESS_SPACE_MB: Final = 1536

# From linux/prctl.h and linux/sched.h.
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000

# By machine: its number in linux/audit.h, and that of the system call `socket`.
_MACHINES: Final = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
_IO_URING_SETUP: Final = 425  # opens sockets without the call `socket`
_X32_CALLS: Final = 0x40000000
# From linux/bpf_common.h and linux/seccomp.h.
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _MACHINE_AT = 0, 4
_ALLOW: Final = 0x7FFF0000
REFUSE: Final = 0x00050000 | EACCES
KILL: Final = 0x80000000


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def isolate(parent_pid: int, memory_mb: int) -> None:
    """Give up what no parser needs, as far as the system allows it."""
    _leave_network()
    refuse_sockets()
    _die_with_parent(parent_pid)
    _limit_resources(memory_mb)


def refuse_sockets(answer: int = REFUSE) -> bool:
    """Let every later attempt to open a socket fail, also in native code; False where the system does not allow this.

    It holds where a network namespace is forbidden, as in most containers, and for sockets in the file system too.
    """
    known = _MACHINES.get(platform.machine()) if sys.platform == "linux" else None
    if known is None:
        return False
    machine, socket_call = known
    # Jumps count from the next instruction.
    program = (
        (_LOAD, 0, 0, _MACHINE_AT),
        (_IF_EQUAL, 0, 5, machine),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_IF_AT_LEAST, 3, 0, _X32_CALLS),
        (_IF_EQUAL, 2, 0, socket_call),
        (_IF_EQUAL, 1, 0, _IO_URING_SETUP),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, answer),
    )
    instructions = (_Instruction * len(program))(*(_Instruction(*one) for one in program))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]
    prctl(_PR_SET_NO_NEW_PRIVS, 1, None, 0, 0)
    filter_ = _Program(len(program), instructions)
    return bool(prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(filter_), 0, 0) == 0)


def _leave_network() -> None:
    """Enter a network namespace without any interface, where the system allows it: no parser has to reach anything."""
    if sys.platform == "linux":
        unshare = ctypes.CDLL(None, use_errno=True).unshare
        if unshare(_CLONE_NEWNET) != 0:
            # Without the privilege, it takes a user namespace of its own, which some systems forbid.
            unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def _die_with_parent(parent_pid: int) -> None:
    """Die when the parent dies, even of SIGKILL, even inside native code that never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before prctl was called. On other systems the child ends at the end of stdin.
    if os.getppid() != parent_pid:
        os._exit(0)


def _limit_resources(memory_mb: int) -> None:
    """A second line of defence: the parent watches the used memory, but an allocation can be faster."""
    for which, value in (
        (resource.RLIMIT_AS, (memory_mb + _ADDRESS_SPACE_MB) * _MIB),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 16 * _MIB),
    ):
        _, hard = resource.getrlimit(which)
        resource.setrlimit(which, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
    try:
        # When the machine runs out of memory, this process is killed before the run and the database.
        with open("/proc/self/oom_score_adj", "w") as score:  # noqa: PTH123
            score.write("1000")
    except OSError:
        pass
