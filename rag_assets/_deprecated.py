"""Module names of version 0.1, served for one release with a DeprecationWarning.

A DAGSTER_HOME made by version 0.1 names `rag_assets.history`; its README named the others.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# A module may have been split into several; a package that is gone has none of its own.
RENAMED: dict[str, tuple[str, ...]] = {
    "rag_assets.automation": (),
    "rag_assets.automation.failures": ("rag_assets.orchestration.automation.failure_notices",),
    "rag_assets.db.engine": ("rag_assets.db.database", "rag_assets.db.connections.engines"),
    "rag_assets.db.pools": ("rag_assets.db.connections.pool",),
    "rag_assets.db.repositories": ("rag_assets.repositories",),
    "rag_assets.db.retry": ("rag_assets.db.connections.retry",),
    "rag_assets.db.shutdown": ("rag_assets.db.database",),
    "rag_assets.declarations": ("rag_assets.projects.declarations",),
    "rag_assets.history": ("rag_assets.orchestration.storage.sqlite_storage",),
    "rag_assets.io": (),
    "rag_assets.io.tables": ("rag_assets.orchestration.io.tables",),
    "rag_assets.resources": (),
    "rag_assets.resources.embedder": ("rag_assets.orchestration.resources.embedder",),
}


class _RenamedModule:
    """Loads a module whose names are those of the modules that replaced it."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return ModuleType(spec.name, f"Renamed since version 0.1 to {', '.join(RENAMED[spec.name])}.")

    def exec_module(self, module: ModuleType) -> None:
        replacements = RENAMED[module.__name__]

        def find(name: str) -> Any:
            for replacement in replacements:
                if hasattr(found := import_module(replacement), name):
                    return getattr(found, name)
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

        module.__dict__["__getattr__"] = find
        if replacements:
            warnings.warn(
                f"{module.__name__} is now {' and '.join(replacements)}; the old name goes in the next release. "
                "What applications use is in rag_assets itself.",
                DeprecationWarning,
                stacklevel=2,
            )


class RenamedModules:
    """Finds old module names after every other finder has failed.

    Loader and finder have no base class: `importlib.abc` would take half of the time of `import rag_assets`.
    """

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in RENAMED:
            return None
        return ModuleSpec(fullname, _RenamedModule(), is_package=True)  # type: ignore[arg-type]


def install() -> None:
    """Serve the old names in this process."""
    if not any(isinstance(finder, RenamedModules) for finder in sys.meta_path):
        sys.meta_path.append(RenamedModules())
