"""Settings of Dagster homes: those that we ship, and some without a line of ours, to compare with."""

from pathlib import Path

import rag_assets

SHIPPED = Path(rag_assets.__file__).with_name("dagster.yaml").read_text()
# It asks nobody on the internet.
PLAIN = "telemetry:\n  enabled: false\n"


def plain_home(folder: Path) -> Path:
    """Make a DAGSTER_HOME with Dagster's own storage and limits."""
    folder.mkdir(exist_ok=True)
    (folder / "dagster.yaml").write_text(PLAIN)
    return folder
