"""Documents kept searchable by meaning in PostgreSQL: Dagster assets over pgvector."""

from typing import TYPE_CHECKING, Any

from rag_assets._deprecated import install

if TYPE_CHECKING:
    from rag_assets.orchestration.build import build_definitions
    from rag_assets.orchestration.component import RagPipeline
    from rag_assets.settings.settings import Settings

__all__ = ["RagPipeline", "Settings", "build_definitions"]
__version__ = "0.2.0"

install()

_HOMES = {
    "RagPipeline": "orchestration.component",
    "Settings": "settings.settings",
    "build_definitions": "orchestration.build",
}


def __getattr__(name: str) -> Any:
    # An application that searches imports this package without Dagster.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
