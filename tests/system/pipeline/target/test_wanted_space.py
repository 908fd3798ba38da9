"""A wanted space waits for every project, in real time."""

from pathlib import Path

import pytest

from rag_assets.errors import IntegrityError
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import Steps, write


def test_a_space_is_not_promoted_before_it_has_every_project(
    steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        write(tmp_path / name / "a.md", f"The text of {name}.")
        steps.project(name, tmp_path / name)
    steps.all("one", "two")
    steps.live()
    monkeypatch.setenv("RAG_ASSETS_CHUNK_TOKENS", "64")
    steps.all("one")
    with pytest.raises(IntegrityError, match=r"1 of 2 documents lack chunks.*Searches go on in space 1"):
        steps.live()
    assert rows(steps.engine, "SELECT status FROM rag.embedding_spaces ORDER BY id") == [("live",), ("building",)]
    # The old space is kept up to date until the promotion.
    write(tmp_path / "one" / "b.md", "A new text.")
    steps.all("one")
    assert rows(steps.engine, "SELECT count(*) FROM rag.live_chunks") == [(3,)]
    steps.all("two")
    assert steps.live()["promoted"]
    assert rows(steps.engine, "SELECT status FROM rag.embedding_spaces ORDER BY id") == [("previous",), ("live",)]
    assert rows(steps.engine, "SELECT count(*) FROM rag.live_chunks") == [(3,)]
