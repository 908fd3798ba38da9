"""Two configurations of a DAGSTER_HOME: the one that we ship, and Dagster's defaults to compare it with."""

from pathlib import Path

import dagster as dg
import pytest

from rag_assets.cli.runtime.installation import DAGSTER_YAML
from rag_assets.orchestration.storage.sqlite_storage import is_tested

needs_custom_storage = pytest.mark.skipif(
    not is_tested(dg.__version__), reason=f"Dagster {dg.__version__} has its own SQLite storage"
)

SHIPPED_CONFIG = DAGSTER_YAML.read_text()
# Telemetry is off, since tests must not use the network.
DEFAULT_CONFIG = "telemetry:\n  enabled: false\n"


def make_default_home(folder: Path) -> Path:
    """Create a DAGSTER_HOME with Dagster's own storage and limits."""
    folder.mkdir(exist_ok=True)
    (folder / "dagster.yaml").write_text(DEFAULT_CONFIG)
    return folder
