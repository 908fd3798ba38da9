"""Install a package for a test: a module and its metadata in a folder on sys.path."""

import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest


def install_package(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str, entry_points: Mapping[str, str], group: str
) -> None:
    """Install the module `name` with entry points of one group, for the current test."""
    (folder / f"{name}.py").write_text(dedent(code))
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = "\n".join(f"{entry} = {value}" for entry, value in entry_points.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{lines}\n")
    if str(folder) not in sys.path:
        monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, name, raising=False)
