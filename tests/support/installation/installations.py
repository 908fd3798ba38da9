"""Installations for tests: state folder, DAGSTER_HOME and database, set by environment variables as a user does."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import pytest
from dagster import DagsterInstance
from sqlalchemy import URL

from rag_assets.cli.runtime.installation import enter
from rag_assets.settings.settings import Settings

# Filling and indexing the probe table of the latency check takes most of the time of a run with few documents. The
# check's own tests and commands in their own processes use the real 10,000 vectors.
PROBE_VECTORS = 1_000
# Tests share processors: a slow search is no finding where a test does not measure searches.
PATIENT_LIMIT_MS = "10000"


def install(url: URL, root: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Make `root` the working directory and create an installation on this database there."""
    monkeypatch.chdir(root)
    monkeypatch.setenv("RAG_ASSETS_STATE_DIR", str(root / "state"))
    monkeypatch.setenv("RAG_ASSETS_DATABASE_URL", url.render_as_string(hide_password=False))
    monkeypatch.setenv("DAGSTER_HOME", str(root / "state" / "dagster_home"))
    monkeypatch.setenv("RAG_ASSETS_LATENCY_LIMIT_MS", PATIENT_LIMIT_MS)
    shutil.copytree(_new_home(), root / "state" / "dagster_home", dirs_exist_ok=True)
    return enter()


@cache
def _new_home() -> Path:
    """A DAGSTER_HOME with Dagster's tables: copying it is faster than creating the tables again."""
    home = Path(tempfile.mkdtemp(prefix="rag-home-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("RAG_ASSETS_STATE_DIR", str(home))
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        enter()
        with DagsterInstance.get():
            return home
