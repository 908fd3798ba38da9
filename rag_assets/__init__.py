"""Documents kept searchable by meaning in PostgreSQL: Dagster assets over pgvector."""

from typing import TYPE_CHECKING, Any

from rag_assets._deprecated import install

if TYPE_CHECKING:
    from rag_assets.client import AsyncClient, Client
    from rag_assets.db.access.viewer import Viewer
    from rag_assets.documents.sources.base import Source, SourceDocument, SourceFile
    from rag_assets.errors import (
        BusyError,
        DocumentError,
        IntegrityError,
        NotFoundError,
        RagAssetsError,
        RefusedError,
        RunInterruptedError,
        ServiceError,
        SessionError,
        SourceError,
        UsageError,
    )
    from rag_assets.orchestration.build import build_definitions
    from rag_assets.orchestration.component.pipeline import RagPipeline
    from rag_assets.orchestration.resources.embedder import Embedder
    from rag_assets.projects.declarations import ProjectDeclaration
    from rag_assets.search.filters.document_filters import Filters
    from rag_assets.search.results import Answer, Hit
    from rag_assets.settings.settings import Settings

# What users import; everything else is private and may move.
__all__ = [
    "Answer",
    "AsyncClient",
    "BusyError",
    "Client",
    "DocumentError",
    "Embedder",
    "Filters",
    "Hit",
    "IntegrityError",
    "NotFoundError",
    "ProjectDeclaration",
    "RagAssetsError",
    "RagPipeline",
    "RefusedError",
    "RunInterruptedError",
    "ServiceError",
    "SessionError",
    "Settings",
    "Source",
    "SourceDocument",
    "SourceError",
    "SourceFile",
    "UsageError",
    "Viewer",
    "build_definitions",
]
__version__ = "0.2.0"

_MODULES = {
    "Answer": "search.results",
    "AsyncClient": "client",
    "Client": "client",
    "Embedder": "orchestration.resources.embedder",
    "Filters": "search.filters.document_filters",
    "Hit": "search.results",
    "ProjectDeclaration": "projects.declarations",
    "RagPipeline": "orchestration.component.pipeline",
    "Settings": "settings.settings",
    "Source": "documents.sources.base",
    "SourceDocument": "documents.sources.base",
    "SourceFile": "documents.sources.base",
    "Viewer": "db.access.viewer",
    "build_definitions": "orchestration.build",
}

install()


def __getattr__(name: str) -> Any:
    # Imported at first use: an application that searches must not pay for Dagster, nor a code location for models.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
