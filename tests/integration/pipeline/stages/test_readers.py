"""Who may read a document: stored with its commit, without reading, splitting or embedding anything."""

from pathlib import Path
from typing import Any

import pytest

from rag_assets.errors import UsageError
from rag_assets.pipeline.audit.documents import documents_readable
from rag_assets.projects.settings import assign_settings
from rag_assets.repositories import SyncDocuments
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import Steps, write

READERS = "SELECT file_path, readers FROM rag.documents"


def readers(steps: Steps) -> dict[str, Any]:
    return dict(rows(steps.engine, READERS))


def test_a_change_of_readers_embeds_nothing_and_does_not_wait(steps: Steps, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    mail = b"Subject: Hello\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nBody\r\n--x\r\n"
    mail += b"Content-Disposition: attachment; filename=note.txt\r\n\r\nA note.\r\n--x--\r\n"
    for name, content in {"a.md": "# A\n\nText of a.", "b.md": "# B\n\nText of b.", "m.eml": mail}.items():
        write(docs / name, content)
    write(docs / ".access.yaml", "b.md: user:anna\n")
    steps.project("zoo", docs)
    steps.all("zoo")
    steps.live()
    assert readers(steps) == {"a.md": None, "b.md": ["user:anna"], "m.eml": None, "m.eml!/note.txt": None}

    write(docs / ".access.yaml", "'*': [group:staff, group:board]\n")
    before = len(steps.embedded)
    counts = steps.documents("zoo")
    assert counts["unchanged"] == 4
    assert not counts["updated"]
    assert {tuple(found) for found in readers(steps).values()} == {("group:board", "group:staff")}

    # The text of b waits for its vectors; who may read it does not.
    write(docs / "b.md", "# B\n\nAnother text of b.")
    write(docs / ".access.yaml", "'*': user:anna\n")
    steps.documents("zoo")
    assert {tuple(found) for found in readers(steps).values()} == {("user:anna",)}
    assert "Text of b." in rows(steps.engine, "SELECT content FROM rag.documents WHERE file_path = 'b.md'")[0][0]
    assert len(steps.embedded) == before

    (docs / ".access.yaml").write_text("'*': anna")
    steps.documents("zoo")
    assert set(map(tuple, readers(steps).values())) == {()}
    result = documents_readable(steps.engine)
    assert not result.passed
    assert result.metadata["of_nobody"] == 4
    assert "4 of 4 documents are nobody's" in result.reason
    assert any("'anna' is no reader" in example for example in result.metadata["examples"])

    (docs / ".access.yaml").unlink()
    steps.documents("zoo")
    assert set(readers(steps).values()) == {None}
    assert documents_readable(steps.engine).passed


def test_an_application_declares_readers(steps: Steps, tmp_path: Path) -> None:
    steps.project("zoo", tmp_path)
    stored = SyncDocuments(steps.engine)
    project = rows(steps.engine, "SELECT id FROM rag.projects")[0][0]
    made = stored.save(project, "a.md", "Text.", readers=["user:anna"])
    again = stored.save(project, "a.md", "Another text.")
    assert made.readers == again.readers == ["user:anna"]
    assert stored.update(made.id, {"readers": []}).readers == []
    changed = stored.update(made.id, {"readers": None, "title": "T"})
    assert (changed.readers, changed.title) == (None, "T")
    with pytest.raises(UsageError, match="'anna' is no reader"):
        stored.save(project, "b.md", "Text.", readers=["anna"])


def test_a_project_has_default_readers() -> None:
    assigned = assign_settings("zoo", {}, ["readers=group:staff", "readers=user:anna"])
    assert assigned == {"readers": ["group:staff", "user:anna"]}
    assert assign_settings("zoo", assigned, ["readers="]) == {}
    with pytest.raises(UsageError, match=r"project zoo: readers .*'staff' is no reader"):
        assign_settings("zoo", {}, ["readers=staff"])
