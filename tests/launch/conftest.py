"""What the tests of launching share."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from rag_assets.settings import Settings
from tests.running import add_project
from tests.stages.stepping import write


@pytest.fixture
def two(settings: Settings, engine: Engine, tmp_path: Path) -> Engine:
    """An installation with two projects of a document each."""
    for name in ("alpha", "zoo"):
        write(tmp_path / name / "a.md", f"The text of {name}.")
        add_project(engine, name, tmp_path / name)
    return engine
