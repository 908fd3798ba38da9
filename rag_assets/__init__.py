"""Documents kept searchable by meaning in PostgreSQL: Dagster assets over pgvector."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag_assets.build import build_definitions
    from rag_assets.component import RagPipeline
    from rag_assets.settings import Settings

__all__ = ["RagPipeline", "Settings", "build_definitions"]
__version__ = "0.1.0"

_HOMES = {"RagPipeline": "component", "Settings": "settings", "build_definitions": "build"}


def __getattr__(name: str) -> Any:
    # An application that searches imports this package without Dagster.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
