"""The user that runs the embedded server, and the capability that lets it enter folders closed to that user."""

import os
import pwd
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rag_assets.db.server import run_as
from rag_assets.errors import UsageError

_SETPCAP, _DAC_OVERRIDE, _DAC_READ_SEARCH = 8, 1, 2


@dataclass(frozen=True, slots=True)
class Account:
    """The user that owns the data and runs the server, with a Linux capability where a folder is closed to it."""

    uid: int
    gid: int
    capability: int | None = None

    def command(self, argv: list[str]) -> list[str]:
        if self.uid == os.geteuid():
            return argv
        capability = "-" if self.capability is None else str(self.capability)
        return [sys.executable, "-I", "-S", run_as.__file__, str(self.uid), str(self.gid), capability, *argv]


def server_account(data: Path, must_reach: Iterable[Path]) -> Account:
    """The current user, or for root, as which PostgreSQL refuses to run, an unprivileged one.

    Raises UsageError when a folder of `must_reach` is closed to that user and root lacks the capabilities to grant
    access, as in some containers.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    user = _unprivileged_user(data)
    blocked = next(filter(None, (_first_closed(path, user.pw_uid, user.pw_gid) for path in must_reach)), None)
    if blocked is None:
        return Account(user.pw_uid, user.pw_gid)
    capability = _grantable_capability()
    if capability is None:
        raise UsageError(
            f"the embedded server runs as the user {user.pw_name}, who cannot enter {blocked}, "
            f"and root lacks the capabilities to grant that here: run `chmod o+x {blocked}`, "
            "choose another place with RAG_ASSETS_STATE_DIR, or run rag-assets as an ordinary user"
        )
    return Account(user.pw_uid, user.pw_gid, capability)


def _unprivileged_user(data: Path) -> pwd.struct_passwd:
    """The owner of the data, else `postgres`, else `nobody`."""
    if data.exists() and (owner := data.stat().st_uid) != 0:
        try:
            return pwd.getpwuid(owner)
        except KeyError:
            return pwd.struct_passwd((str(owner), "x", owner, data.stat().st_gid, "", "/", "/bin/false"))
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise UsageError(
        "PostgreSQL refuses to run as root, and this machine has neither a user postgres nor a user nobody: "
        "create one (`useradd --system postgres`), or run rag-assets as an ordinary user"
    )


def _first_closed(path: Path, uid: int, gid: int) -> Path | None:
    """The first parent folder of `path`, or the file itself, that its mode bits close to this user."""
    for step in (*reversed(path.parents), path):
        info = step.stat()
        bits = info.st_mode >> (6 if info.st_uid == uid else 3 if info.st_gid == gid else 0)
        needed = stat.S_IXOTH if stat.S_ISDIR(info.st_mode) else stat.S_IXOTH | stat.S_IROTH
        if bits & needed != needed:
            return step
    return None


def _grantable_capability() -> int | None:
    """The smallest capability that opens folders: DAC_READ_SEARCH, else DAC_OVERRIDE, which Docker grants."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return None
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if line.startswith("Cap"))
    ours = int(fields["CapEff"], 16) & int(fields["CapBnd"], 16)
    if not ours >> _SETPCAP & 1:
        return None
    return next((cap for cap in (_DAC_READ_SEARCH, _DAC_OVERRIDE) if ours >> cap & 1), None)
