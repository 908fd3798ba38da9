"""Dagster homes without a line of ours, to compare with: Dagster's own storage and limits."""

from pathlib import Path

# It asks nobody on the internet.
PLAIN = "telemetry:\n  enabled: false\n"


def plain_home(folder: Path) -> Path:
    """Make such a DAGSTER_HOME."""
    folder.mkdir(exist_ok=True)
    (folder / "dagster.yaml").write_text(PLAIN)
    return folder
