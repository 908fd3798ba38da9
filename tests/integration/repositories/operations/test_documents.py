"""Projects and documents that an application creates and changes while the pipeline works on the same rows."""

from pathlib import Path
from uuid import UUID, uuid4

import dagster as dg
import pytest
from sqlalchemy import Engine, text

from rag_assets.documents.sources.globs import Selection, exact_glob
from rag_assets.errors import UsageError
from rag_assets.orchestration import partitions
from rag_assets.repositories import SyncDocuments, SyncProjects
from tests.support.pipeline.check_runs import change_database
from tests.support.pipeline.runs import rows, run


@pytest.fixture
def projects(engine: Engine) -> SyncProjects:
    return SyncProjects(engine)


@pytest.fixture
def documents(engine: Engine) -> SyncDocuments:
    return SyncDocuments(engine)


@pytest.fixture
def zoo(projects: SyncProjects) -> UUID:
    return projects.create("zoo", "/zoo").id


def test_a_project_is_created_changed_listed_and_deleted(projects: SyncProjects) -> None:
    made = projects.create("zoo", "/zoo", description="Animals", settings={"include": ["*.md"]})
    assert (made.name, made.description, made.settings) == ("zoo", "Animals", {"include": ["*.md"]})
    projects.create("air", "/air")
    assert [found.name for found in projects.list_all()] == ["air", "zoo"]
    changed = projects.update("zoo", {"description": "Beasts", "source_uri": "/beasts"})
    assert (changed.description, changed.source_uri, changed.settings) == ("Beasts", "/beasts", made.settings)
    assert changed.updated_at > made.updated_at
    projects.delete("zoo")
    with pytest.raises(UsageError, match=r"there is no project 'zoo' \(known: air\)"):
        projects.get("zoo")


def test_an_invalid_project_is_refused(projects: SyncProjects) -> None:
    projects.create("zoo", "/zoo")
    with pytest.raises(UsageError, match="project 'zoo' exists already"):
        projects.create("zoo", "/elsewhere")
    with pytest.raises(UsageError, match="'My Zoo' cannot be a project's name"):
        projects.create("My Zoo", "/zoo")
    with pytest.raises(UsageError, match="'name' cannot be changed in projects"):
        projects.update("zoo", {"name": "other"})
    with pytest.raises(UsageError, match="there is no project 'sea'"):
        projects.counts("sea")


def test_a_document_is_saved_found_changed_and_listed(documents: SyncDocuments, zoo: UUID) -> None:
    made = documents.save(zoo, "a.md", "one\x00", title="A", file_type="markdown", metadata={"lang": "en"})
    assert (made.content, made.title, made.size_bytes, made.doc_metadata) == ("one", "A", 3, {"lang": "en"})
    again = documents.save(zoo, "a.md", "two")
    assert (again.id, again.content, again.title) == (made.id, "two", None)
    found = documents.find_by_path(zoo, "a.md")
    assert found is not None
    assert found.id == made.id
    changed = documents.update(made.id, {"title": "B", "metadata": {"lang": "de"}})
    assert (changed.title, changed.doc_metadata, changed.content) == ("B", {"lang": "de"}, "two")
    for n in range(3):
        documents.save(zoo, f"{n}.md", "x")
    first = documents.list_by_project(zoo, limit=2)
    second = documents.list_by_project(zoo, limit=2, after=first.next)
    assert [d.file_path for d in first.items + second.items] == ["2.md", "1.md", "0.md", "a.md"]
    assert second.next is None


def test_an_invalid_document_is_refused(engine: Engine, documents: SyncDocuments, zoo: UUID) -> None:
    with pytest.raises(UsageError, match=r"file_path is ''|file_path is empty"):
        documents.save(zoo, "\x00", "x")
    with pytest.raises(UsageError, match="projects has no row with the id"):
        documents.save(uuid4(), "a.md", "x")
    made = documents.save(zoo, "a.md", "x")
    with pytest.raises(UsageError, match="'content' cannot be changed in documents"):
        documents.update(made.id, {"content": "y"})
    assert rows(engine, "SELECT count(*) FROM rag.documents") == [(1,)]


def test_counts_are_those_of_the_project(built: Engine) -> None:
    counts = SyncProjects(built).counts("zoo")
    [(stored, chunks)] = rows(
        built,
        "SELECT count(DISTINCT d.id), count(c.id) FROM rag.documents d JOIN rag.projects p ON p.id = d.project_id "
        "LEFT JOIN rag.document_chunks c ON c.document_id = d.id WHERE p.name = 'zoo'",
    )
    assert (counts.documents, counts.chunks) == (stored, chunks)
    assert counts.vectors == counts.texts > 0


PAGE = (
    "SELECT d.id, p.source_uri FROM rag.documents d JOIN rag.projects p ON p.id = d.project_id "
    "WHERE file_path = 'page05.md' AND p.name = 'zoo'"
)
ORPHANS = (
    "SELECT count(*) FROM rag.embeddings e "
    "WHERE NOT EXISTS (SELECT FROM rag.document_chunks c WHERE c.content_hash = e.content_hash)"
)


def test_a_deleted_document_is_gone_and_not_read_again(built: Engine) -> None:
    documents = SyncDocuments(built)
    [(id_, source)] = rows(built, PAGE)
    # copy.txt is in both projects: its vectors are still needed.
    [(shared,)] = rows(
        built,
        "SELECT d.id FROM rag.documents d JOIN rag.projects p ON p.id = d.project_id "
        "WHERE file_path = 'copy.txt' AND p.name = 'sea'",
    )
    [(vectors,)] = rows(built, "SELECT count(*) FROM rag.embeddings")
    assert documents.delete(shared) == 0
    gone = documents.delete(id_)
    assert gone > 0
    assert rows(built, "SELECT count(*) FROM rag.embeddings") == [(vectors - gone,)]
    assert rows(built, ORPHANS) == [(0,)]
    with pytest.raises(UsageError, match="documents has no row with the id"):
        documents.delete(id_)
    assert (Path(source) / "page05.md").exists()
    dg.DagsterInstance.get().add_dynamic_partitions(str(partitions.projects.name), ["zoo"])
    assert run(keys=["zoo"], only=["raw_documents"]).success
    assert rows(built, "SELECT count(*) FROM rag.documents WHERE id = :id", id=id_) == [(0,)]
    change_database(built, "UPDATE rag.projects SET settings = settings - 'forgotten'")
    assert run(keys=["zoo"], only=["raw_documents"]).success
    assert rows(built, "SELECT count(*) FROM rag.documents WHERE id = :id", id=id_) == [(1,)]


@pytest.mark.parametrize(
    "path", ["a.md", "a b.md", "deep/a.md", "#a.md", "!a.md", "a*.md", "[a].md", "a?.md", "a\\b.md", "a.md ", "ä.md"]
)
def test_only_the_path_of_the_deleted_document_is_excluded(path: str) -> None:
    selection = Selection(["*"], [exact_glob(path)])
    assert not selection.matches(path)
    for other in ("b.md", "deeper/" + path, path + "x", "ab.md"):
        assert selection.matches(other)


def test_deleting_a_project_leaves_no_orphaned_vectors(built: Engine) -> None:
    [(before,)] = rows(built, "SELECT count(*) FROM rag.embeddings")
    gone = SyncProjects(built).delete("zoo")
    assert gone > 0
    assert rows(built, "SELECT count(*) FROM rag.embeddings") == [(before - gone,)]
    assert rows(built, ORPHANS) == [(0,)]
    assert rows(built, "SELECT count(*) FROM rag.documents d JOIN rag.projects p ON p.id = d.project_id") != [(0,)]
    assert rows(built, "SELECT name FROM rag.projects") == [("sea",)]


def test_a_failed_delete_changes_nothing(built: Engine) -> None:
    [(id_, _)] = rows(built, PAGE)
    with built.begin() as connection:
        connection.execute(text("ALTER TABLE rag.projects ADD CHECK (NOT settings ? 'forgotten')"))
    with pytest.raises(UsageError, match=r"the values violate the constraint .* of projects"):
        SyncDocuments(built).delete(id_)
    assert rows(built, "SELECT count(*) FROM rag.documents WHERE id = :id", id=id_) == [(1,)]
