"""The file that says where the server of an installation listens, for commands of the same user.

Its token lets its reader do everything, so that only the user who started the server may read it.
"""

import hmac
import json
import os
import secrets
import stat
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from pydantic import SecretStr

from rag_assets.settings.settings import Settings

FILE_NAME = "serve.json"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a server listens. `settings` is a digest of those that searches depend on."""

    url: str
    token: str = field(repr=False)
    settings: str
    pid: int

    @classmethod
    def new(cls, url: str, settings: Settings, token: str) -> "ServerAddress":
        return cls(url, token, settings_digest(settings, token), os.getpid())

    def write(self, state_dir: Path) -> None:
        file = state_dir / FILE_NAME
        new = file.with_name(f"{FILE_NAME}.{secrets.token_hex(8)}")
        # No moment at which another user could read it.
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as writing:
            json.dump(asdict(self), writing)
        new.replace(file)

    def remove(self, state_dir: Path) -> None:
        """Unless another server has replaced it."""
        found = read_address(state_dir)
        if found == self:
            (state_dir / FILE_NAME).unlink(missing_ok=True)


def read_address(state_dir: Path) -> ServerAddress | None:
    """None where there is no such file, or one that other users could have written or read."""
    try:
        with (state_dir / FILE_NAME).open() as file:
            found = os.fstat(file.fileno())
            if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
                return None
            return ServerAddress(**json.load(file))
    except (OSError, ValueError, TypeError):
        return None


def settings_digest(settings: Settings, token: str) -> str:
    """A digest of all settings but those of the server, and of the version; keyed, since addresses have passwords."""
    values = []
    for name in type(settings).model_fields:
        if not name.startswith(("serve_", "oidc_", "audit")):
            value = getattr(settings, name)
            values.append((name, value.get_secret_value() if isinstance(value, SecretStr) else str(value)))
    text = json.dumps([version("rag_assets"), values], default=str)
    return hmac.new(token.encode(), text.encode(), sha256).hexdigest()
