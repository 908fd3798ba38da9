"""What other packages give this one: the source types and tables that they register, and objects that settings name."""

import sys
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from rag_assets.errors import UsageError


def list_entry_points(group: str) -> tuple[EntryPoint, ...]:
    return _list_entry_points(group, tuple(sys.path))


def find_entry_point(group: str, name: str, shown: str) -> EntryPoint | None:
    """The entry point of this name, in lower case; raises UsageError if packages register different ones as `shown`."""
    found = {entry.value: entry for entry in list_entry_points(group) if entry.name.lower() == name}
    if len(found) > 1:
        raise UsageError(
            f"{shown} is registered by {' and by '.join(sorted(map(describe_entry_point, found.values())))}; "
            "uninstall one of these packages"
        )
    return next(iter(found.values()), None)


def describe_entry_point(entry: EntryPoint) -> str:
    package = f" of {entry.dist.name}" if entry.dist is not None else ""
    return f"{entry.name} = {entry.value}{package}"


def import_object(target: str) -> Any:
    """The object `package.module:name`; raises ImportError, AttributeError or ValueError where there is none."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


@cache
def _list_entry_points(group: str, _path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    # Reading the metadata of all installed packages takes some 20 ms; it is read again when sys.path changes.
    return tuple(entry_points(group=group))
