"""The installation that a command works in: settings, DAGSTER_HOME, a quiet Dagster."""

import fcntl
import logging
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from rag_assets.errors import ServiceError
from rag_assets.settings.settings import Settings, load_settings

if TYPE_CHECKING:
    import dagster as dg

DAGSTER_YAML = Path(__file__).with_name("dagster.yaml")
WORKSPACE_YAML = Path(__file__).with_name("workspace.yaml")
_RENAMED_STORAGE = "module: rag_assets.history\n", "module: rag_assets.orchestration.storage.sqlite_storage\n"


def enter() -> Settings:
    """Settings with absolute folders, and DAGSTER_HOME below the state folder unless it is set already."""
    settings = load_settings()
    state = settings.state_dir.expanduser().resolve()
    # Processes that this one starts (web server, daemon, steps) work in the same installation.
    os.environ["RAG_ASSETS_STATE_DIR"] = str(state)
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(state / "dagster_home")))
    try:
        home.mkdir(parents=True, exist_ok=True)
        _write_dagster_yaml(home / "dagster.yaml")
    except OSError as error:
        raise ServiceError(
            f"the folder {home} cannot be used: {error.strerror}; make room or allow writing there, "
            "or choose another one with RAG_ASSETS_STATE_DIR (and DAGSTER_HOME, where that is set)."
        ) from error
    settings = load_settings()
    if settings.log_queries:
        _show_queries()
    return settings


def _write_dagster_yaml(file: Path) -> None:
    """Ours where there is none; in one of version 0.1, the storage's module under its new name."""
    found = file.read_text() if file.exists() else None
    wanted = DAGSTER_YAML.read_text() if found is None else found.replace(*_RENAMED_STORAGE)
    if wanted != found:
        # Replaced as a whole, since another command may read it at this moment.
        new = file.with_name(f"{file.name}.{os.getpid()}")
        new.write_text(wanted)
        new.replace(file)


def _show_queries() -> None:
    """On stderr, since stdout may be one JSON object; an application sets up its logging itself."""
    log = logging.getLogger("rag_assets.db.queries")
    if not log.handlers:
        log.addHandler(logging.StreamHandler())
        log.setLevel(logging.INFO)


def quiet_run_config() -> dict[str, object]:
    """Dagster's own console log, down to what went wrong: the run's whole log is in the UI."""
    return {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def instance() -> "dg.DagsterInstance":
    """The instance of DAGSTER_HOME; opening one takes longer than most of what it is asked."""
    return _instance_at(os.environ["DAGSTER_HOME"])


@cache
def _instance_at(home: str) -> "dg.DagsterInstance":
    import dagster as dg

    # Dagster makes the tables of its history when it first sees the folder, and two processes that do so at one
    # time fail with "table run_tags already exists".
    with (Path(home) / "opening.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return dg.DagsterInstance.get()
