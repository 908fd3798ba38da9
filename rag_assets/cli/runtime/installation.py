"""The installation that a command works in: its settings, DAGSTER_HOME and Dagster instance."""

import fcntl
import logging
import os
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rag_assets.db.session.priority import give_way
from rag_assets.errors import ServiceError, UsageError
from rag_assets.settings.settings import Settings, load_settings

if TYPE_CHECKING:
    import dagster as dg

HOMES = Path(__file__).with_name("homes")
DAGSTER_YAML = HOMES / "one_machine" / "dagster.yaml"
WORKSPACE_YAML = Path(__file__).with_name("workspace.yaml")
_RENAMED_STORAGE = "module: rag_assets.history\n", "module: rag_assets.orchestration.storage.sqlite_storage\n"


def enter() -> Settings:
    """Settings with absolute folders. DAGSTER_HOME is below the state folder unless it is set already.

    With Dagster's history in PostgreSQL it is a folder of the package: nothing is written to the disk.
    """
    settings = load_settings()
    state = settings.state_dir.expanduser().resolve()
    # Child processes (web server, daemon, steps) must work in the same installation.
    os.environ["RAG_ASSETS_STATE_DIR"] = str(state)
    _check_distribution(settings)
    if settings.dagster_database is not None:
        os.environ.setdefault("DAGSTER_HOME", str(HOMES / ("workers" if settings.workers else "postgres")))
    else:
        home = Path(os.environ.setdefault("DAGSTER_HOME", str(state / "dagster_home")))
        # Only what needs Dagster's history fails where there is no place for it, and searches do not.
        with suppress(*((ServiceError,) if settings.database_url is not None else ())):
            _make_home(home, state)
    settings = load_settings()
    if settings.log_queries:
        _log_queries_to_stderr()
    return settings


def enter_background() -> Settings:
    """`enter` for a command whose work gives way to searches."""
    settings = enter()
    give_way(settings.background_nice)
    return settings


def _check_distribution(settings: Settings) -> None:
    if settings.workers and settings.dagster_database is None:
        raise UsageError(
            "RAG_ASSETS_WORKERS needs Dagster's history where all machines reach it; set RAG_ASSETS_DAGSTER_DATABASE, "
            "like dagster, or unset RAG_ASSETS_WORKERS."
        )
    needed = {"postgres": settings.dagster_database is not None, "celery": settings.workers}
    for extra, is_needed in needed.items():
        if is_needed and find_spec(f"dagster_{extra}") is None:
            setting = "WORKERS" if extra == "celery" else "DAGSTER_DATABASE"
            raise UsageError(
                f"RAG_ASSETS_{setting} needs dagster-{extra}; install it: pip install 'rag_assets[{extra}]'."
            )


def _make_home(home: Path, state: Path) -> None:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The history has names and reasons of documents. A folder elsewhere may be shared on purpose.
        if home.parent == state and home.stat().st_mode & 0o077:
            home.chmod(0o700)
        _write_dagster_yaml(home / "dagster.yaml")
    except OSError as error:
        raise ServiceError(
            f"the folder {home} cannot be used: {error.strerror}; make room or allow writing there, "
            "or choose another one with RAG_ASSETS_STATE_DIR (and DAGSTER_HOME, where that is set), or keep Dagster's "
            "history in PostgreSQL: RAG_ASSETS_DAGSTER_DATABASE=dagster."
        ) from error


def _write_dagster_yaml(file: Path) -> None:
    """Write the file where it is missing, and the new name of the storage's module into one of version 0.1."""
    present = file.read_text() if file.exists() else None
    wanted = DAGSTER_YAML.read_text() if present is None else present.replace(*_RENAMED_STORAGE)
    if wanted != present:
        # Replaced atomically, since another command may read it at this moment.
        new = file.with_name(f"{file.name}.{os.getpid()}")
        new.write_text(wanted)
        new.replace(file)


def _log_queries_to_stderr() -> None:
    """Print logged queries on stderr, since stdout may be one JSON object."""
    log = logging.getLogger("rag_assets.db.queries")
    if not log.handlers:
        log.addHandler(logging.StreamHandler())
        log.setLevel(logging.INFO)


def quiet_run_config() -> dict[str, object]:
    """Run config that silences Dagster's console log. The whole log of a run is in the UI."""
    return {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def instance() -> "dg.DagsterInstance":
    """The instance of DAGSTER_HOME, opened once: opening it takes longer than most calls to it."""
    return _instance_at(os.environ["DAGSTER_HOME"])


@cache
def _instance_at(home: str) -> "dg.DagsterInstance":
    import dagster as dg

    settings = load_settings()
    if settings.dagster_database is not None:
        found = dg.DagsterInstance.get()
        _check_history(found, home)
        return found
    _make_home(Path(home), settings.state_dir)
    # Dagster creates its tables when it first opens a folder. Two processes that do so at the same time fail with
    # "table run_tags already exists".
    with (Path(home) / "opening.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return dg.DagsterInstance.get()


def _check_history(found: "dg.DagsterInstance", home: str) -> None:
    """Raise UsageError where dagster.yaml keeps the history elsewhere than the setting says."""
    from rag_assets.orchestration.storage.dagster_postgres import WaitingPostgresEventLog

    if not isinstance(found.event_log_storage, WaitingPostgresEventLog):
        raise UsageError(
            f"RAG_ASSETS_DAGSTER_DATABASE is set, and {home}/dagster.yaml names another storage; unset "
            f"DAGSTER_HOME, or copy the lines `storage:` of {HOMES}/postgres/dagster.yaml into it."
        )
