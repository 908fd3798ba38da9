"""Fixtures of the tests that launch runs."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from rag_assets.settings.settings import Settings
from tests.support.pipeline.runs import add_project
from tests.support.pipeline.stages import write


@pytest.fixture
def two_projects(settings: Settings, engine: Engine, tmp_path: Path) -> Engine:
    """An installation with two projects, each with one document."""
    for name in ("alpha", "zoo"):
        write(tmp_path / name / "a.md", f"The text of {name}.")
        add_project(engine, name, tmp_path / name)
    return engine
