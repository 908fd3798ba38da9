"""Methods renamed since version 0.1 work under their old names for one release, with a DeprecationWarning."""

from types import ModuleType
from typing import Any

import pytest

from rag_assets.repositories import Documents, Sessions, SyncDocuments, SyncSessions
from rag_assets.repositories.operations import documents, sessions


@pytest.mark.parametrize(
    ("module", "old", "new", "arguments"),
    [
        (documents, "forget", "delete", {"document_id": 1}),
        (sessions, "expire", "delete_expired", {"kept_after_s": 2.0}),
    ],
)
def test_the_old_name_warns_and_calls_the_new_one(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, old: str, new: str, arguments: dict[str, Any]
) -> None:
    monkeypatch.setattr(module, new, lambda *positional, **named: (positional, named))
    with pytest.warns(DeprecationWarning, match=new):
        positional, named = getattr(module, old)("connection", **arguments)
    assert [*positional, *named.values()] == ["connection", *arguments.values()]


@pytest.mark.parametrize(
    ("repository", "old"),
    [(Documents, "forget"), (SyncDocuments, "forget"), (Sessions, "expire"), (SyncSessions, "expire")],
)
def test_repositories_document_the_old_name_as_deprecated(repository: type, old: str) -> None:
    assert "Deprecated" in (getattr(repository, old).__doc__ or "")
