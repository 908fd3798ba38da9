"""Fixtures for tests of the stages."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from rag_assets.settings.settings import Settings
from tests.support.pipeline.stages import Steps


@pytest.fixture
def steps(settings: Settings, engine: Engine) -> Steps:
    return Steps(engine, settings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    return folder
