"""The repository's root, and the files of every format that tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = Path(__file__).with_name("files")
PROJECTS = ROOT / "tests" / "system" / "packaging"
