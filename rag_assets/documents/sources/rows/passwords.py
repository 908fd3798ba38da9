"""Passwords of databases that rows are read from, kept apart from the projects: in a file, or in the environment."""

import json
import os
import re
import tempfile
from pathlib import Path

from rag_assets.documents.sources.rows.address import RowAddress
from rag_assets.errors import ServiceError

_FILE_NAME = "source_passwords.json"


def password_variable(project: str) -> str:
    return f"RAG_ASSETS_SOURCE_{re.sub('[^A-Z0-9]', '_', project.upper())}_PASSWORD"


def find_password(address: RowAddress, project: str | None, state_dir: Path) -> str | None:
    """The password of the environment (or of .env), else the one that was kept for this user of this database."""
    if project is not None:
        variable = password_variable(project)
        if found := os.environ.get(variable) or _from_env_file(variable):
            return found
    return _read(state_dir).get(address.account)


def keep_password(address: RowAddress, password: str, state_dir: Path) -> None:
    """Keep it in a file that only this user can read. It is never sent to another server, database or user."""
    _write(state_dir, _read(state_dir) | {address.account: password})


def forget_password(address: RowAddress, state_dir: Path) -> None:
    kept = _read(state_dir)
    if kept.pop(address.account, None) is not None:
        _write(state_dir, kept)


def _from_env_file(variable: str) -> str | None:
    if not Path(".env").is_file():
        return None
    from dotenv import dotenv_values

    return dotenv_values(".env").get(variable)


def _read(state_dir: Path) -> dict[str, str]:
    file = state_dir / _FILE_NAME
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise ServiceError(
            f"the passwords of sources cannot be read from {file} ({reason}); "
            "correct or delete the file, then give the password again"
        ) from None
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _write(state_dir: Path, passwords: dict[str, str]) -> None:
    file = state_dir / _FILE_NAME
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp makes a file that only its owner can read; the rename replaces the old one at once.
        descriptor, name = tempfile.mkstemp(dir=state_dir, prefix=_FILE_NAME)
        with os.fdopen(descriptor, "w", encoding="utf-8") as written:
            json.dump(passwords, written, indent=1)
        Path(name).replace(file)
    except OSError as error:
        raise ServiceError(
            f"the password of the source cannot be kept in {file} ({error.strerror}); "
            "set RAG_ASSETS_SOURCE_<PROJECT>_PASSWORD instead"
        ) from None
