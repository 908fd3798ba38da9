"""Installations for tests: state folder, DAGSTER_HOME and database, set in the environment as a user sets them."""

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

# Filling and indexing the probe of the latency check takes longer than all else in a run with few documents. The
# check's own tests, the built database and commands in processes of their own take ten thousand vectors.
PROBE_VECTORS = 1_000


def install(url: URL, root: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Make `root` the working directory and an installation on this database."""
    monkeypatch.chdir(root)
    monkeypatch.setenv("RAG_ASSETS_STATE_DIR", str(root / "state"))
    monkeypatch.setenv("RAG_ASSETS_DATABASE_URL", url.render_as_string(hide_password=False))
    monkeypatch.setenv("DAGSTER_HOME", str(root / "state" / "dagster_home"))
    shutil.copytree(_new_home(), root / "state" / "dagster_home", dirs_exist_ok=True)
    return enter()


@cache
def _new_home() -> Path:
    """A DAGSTER_HOME in which Dagster has made its tables: copying it takes less time than making them again."""
    home = Path(tempfile.mkdtemp(prefix="rag-home-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("RAG_ASSETS_STATE_DIR", str(home))
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        enter()
        with DagsterInstance.get():
            return home
