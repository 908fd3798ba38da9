"""Paths: the root of the repository, sample documents of each format, and sample projects."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = Path(__file__).with_name("files")
PROJECTS = ROOT / "tests" / "system" / "packaging"
