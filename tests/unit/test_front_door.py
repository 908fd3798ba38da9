"""The public names of the package."""

import pytest

import rag_assets

PUBLIC = [
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


def test_all_lists_the_public_names() -> None:
    assert rag_assets.__all__ == PUBLIC
    assert all(getattr(rag_assets, name).__name__ == name for name in PUBLIC)
    assert set(PUBLIC) <= set(dir(rag_assets))


def test_every_error_is_public() -> None:
    from rag_assets import errors

    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert kinds <= set(PUBLIC)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Retriever'"):
        _ = rag_assets.Retriever
