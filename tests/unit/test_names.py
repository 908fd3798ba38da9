"""Each public class and function of the package has a name of its own."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PACKAGE = ROOT / "rag_assets"
# Command functions are named like their commands; the operations of each repository have the same names.
MAY_SHARE = ("cli/commands/", "cli/groups/", "cli/seeding/", "repositories/operations/")
# The entry point of each process.
ENTRY_POINTS = {"main"}


def public_names(package: Path) -> Iterator[tuple[str, str]]:
    """The name and the module of each public class and function at the top of a module."""
    for file in sorted(package.rglob("*.py")):
        module = file.relative_to(package).as_posix()
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith(
                "_"
            ):
                yield node.name, module


def shared_names(package: Path) -> dict[str, list[str]]:
    """The names that more than one module defines, with these modules."""
    modules = defaultdict[str, list[str]](list)
    for name, module in public_names(package):
        if name not in ENTRY_POINTS and not module.startswith(MAY_SHARE):
            modules[name].append(module)
    return {name: found for name, found in modules.items() if len(found) > 1}


def test_no_two_public_classes_or_functions_share_a_name() -> None:
    assert shared_names(PACKAGE) == {}


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ("db/b.py", ["db/a.py", "db/b.py"]),
        ("cli/commands/b.py", None),
        ("repositories/operations/b.py", None),
    ],
)
def test_a_shared_name_is_found(tmp_path: Path, other: str, expected: list[str] | None) -> None:
    for name in ("db/a.py", other):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("class Found: ...\nasync def _found(): ...\ndef main(): ...\n", "utf-8")
    assert shared_names(tmp_path).get("Found") == expected
    assert shared_names(tmp_path).keys() <= {"Found"}
