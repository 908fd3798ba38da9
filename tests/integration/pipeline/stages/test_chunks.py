"""chunks: documents are split again only where the text or the chunking changed, and no chunk is lost."""

from pathlib import Path
from typing import Any

import pytest

from rag_assets.db.reports.document_remarks import find_remarks
from rag_assets.db.spaces.pending import pending_documents
from rag_assets.errors import UsageError
from rag_assets.pipeline.audit.documents import documents_have_chunks, documents_readable, offsets_reproduce_text
from rag_assets.pipeline.stages.live_space import drop_space
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import Steps, write

SECTIONS = [f"# Part {n}\n\n" + " ".join(f"Word{n} number {m} is here." for m in range(70)) + "\n" for n in range(6)]


def read_chunks(steps: Steps) -> dict[Any, Any]:
    """Chunks by id, with everything but their times."""
    found = rows(
        steps.engine,
        "SELECT id, document_id, chunking, chunk_index, chunk_text, content_hash, char_start, char_end, token_count, "
        "heading_path FROM rag.document_chunks",
    )
    return {row[0]: row for row in found}


def test_a_second_run_splits_nothing(steps: Steps, folder: Path) -> None:
    write(folder / "a.md", "".join(SECTIONS))
    steps.project("zoo", folder)
    steps.documents("zoo")
    first = steps.chunks("zoo")
    assert first["inserted"] == len(read_chunks(steps)) >= 6
    second = steps.chunks("zoo")
    assert (second["inserted"], second["updated"], second["deleted"], second["unchanged"]) == (0, 0, 0, 0)


def test_a_document_has_at_most_so_many_chunks_and_says_so(
    steps: Steps, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "short.md", "A short text.")
    write(folder / "long.md", " ".join(f"w{number}" for number in range(4_500)) + "\n\n")
    steps.project("zoo", folder, chunk_tokens=16)
    steps.documents("zoo")
    count = "SELECT chunk_count FROM rag.document_chunkings ORDER BY 1 DESC LIMIT 1"

    def chunks(limit: int) -> int:
        monkeypatch.setattr(steps, "settings", steps.settings.model_copy(update={"max_chunks": limit}))
        steps.chunks("zoo")
        [(stamped,)] = rows(steps.engine, count)
        assert stamped == len(read_chunks(steps)) - 1
        return int(stamped)

    whole = chunks(30_000)
    assert 1_000 < whole < 2_000
    assert find_remarks_of(steps) == []
    for limit in (1_000, 1_000):
        assert chunks(limit) == 1_000
    [said] = find_remarks_of(steps)
    assert said.startswith("long.md: only its first 1,000 chunks are searchable, ")
    assert said.endswith("% of its text; split the file, exclude it, or raise RAG_ASSETS_MAX_CHUNKS")
    found = documents_readable(steps.engine)
    assert (found.passed, found.metadata["with_remarks"]) == (False, 1)
    assert documents_have_chunks(
        steps.engine, rows(steps.engine, "SELECT chunking FROM rag.embedding_spaces")[0][0]
    ).passed
    assert chunks(2_000) == whole
    assert find_remarks_of(steps) == []


def find_remarks_of(steps: Steps) -> list[str]:
    with steps.engine.connect() as connection:
        return [f"{one.file_path}: {note}" for one in find_remarks(connection, limit=9) for note in one.notes]


def test_chunks_after_an_inserted_line_move_and_keep_their_ids(steps: Steps, folder: Path) -> None:
    write(folder / "a.md", "".join(SECTIONS))
    steps.project("zoo", folder)
    steps.documents("zoo")
    steps.chunks("zoo")
    before = read_chunks(steps)
    write(folder / "a.md", "A line of its own.\n\n" + "".join(SECTIONS))
    steps.documents("zoo")
    figures = steps.chunks("zoo")
    after = read_chunks(steps)
    assert len(before.keys() & after.keys()) >= len(before) - 1
    assert figures["inserted"] <= 2
    texts = dict(rows(steps.engine, "SELECT id, content FROM rag.documents"))
    assert all(texts[row[1]][row[6] : row[7]] == row[4] for row in after.values())
    assert sorted(row[3] for row in after.values()) == list(range(len(after)))


def test_chunks_of_reordered_sections_keep_their_ids(steps: Steps, folder: Path) -> None:
    write(folder / "a.md", "".join(SECTIONS))
    steps.project("zoo", folder)
    steps.documents("zoo")
    steps.chunks("zoo")
    before = read_chunks(steps)
    write(folder / "a.md", "".join(reversed(SECTIONS)))
    steps.documents("zoo")
    steps.chunks("zoo")
    after = read_chunks(steps)
    assert before.keys() == after.keys()
    assert {id_: row[3] for id_, row in before.items()} != {id_: row[3] for id_, row in after.items()}


def test_the_chunks_of_an_emptied_document_are_deleted(steps: Steps, folder: Path) -> None:
    write(folder / "a.md", "Some text.")
    write(folder / "b.md", "Other text.")
    steps.project("zoo", folder)
    steps.documents("zoo")
    steps.chunks("zoo")
    write(folder / "a.md", " \n")
    steps.documents("zoo")
    assert steps.chunks("zoo")["deleted"] == 1
    assert [row[4] for row in read_chunks(steps).values()] == ["Other text."]
    assert steps.chunks("zoo")["deleted"] == 0


def test_the_names_of_columns_are_embedded_and_shown_but_no_part_of_the_text(steps: Steps, folder: Path) -> None:
    lines = [f"Country {n},{n}.4,{n}.5" for n in range(400)]
    write(folder / "rates.csv", "Country,2021,2022\n" + "\n".join(lines))
    write(folder / "a.md", "Some text.")
    steps.project("zoo", folder)
    steps.all("zoo")
    steps.index()
    steps.live()
    header = "Country | 2021 | 2022"
    found = rows(
        steps.engine,
        "SELECT c.header, c.chunk_text, c.content_hash = sha256(convert_to(coalesce(c.header || E'\\n', '') || "
        "c.chunk_text, 'UTF8')), v.content, v.header, v.metadata->>'header', v.page, substr(d.content, char_start + 1, "
        "char_end - char_start) FROM rag.document_chunks c JOIN rag.live_chunks v USING (id) "
        "JOIN rag.documents d ON d.id = c.document_id ORDER BY file_path, chunk_index",
    )
    assert [row[:2] for row in found[:1]] == [(None, "Some text.")]
    assert len(found) > 10
    for stored, text, hash_matches, content, shown, metadata, page, slice_ in found[1:]:
        assert (stored, shown, metadata, page, slice_) == (header, header, header, None, text)
        assert (hash_matches, content) == (True, f"{header}\n{text}")
    check = offsets_reproduce_text(steps.engine, steps.target.definition.chunking)
    assert (check.passed, check.metadata["chunks"]) == (True, len(found))


def test_a_failed_document_keeps_its_chunks(steps: Steps, folder: Path) -> None:
    write(folder / "a.md", "Some text.")
    steps.project("zoo", folder)
    steps.documents("zoo")
    steps.chunks("zoo")
    (folder / "a.md").unlink()
    (folder / "a.md").symlink_to("nowhere")
    steps.documents("zoo")
    steps.chunks("zoo")
    assert [row[4] for row in read_chunks(steps).values()] == ["Some text."]


def test_deleted_chunks_are_restored_if_their_chunking_record_is_deleted(steps: Steps, folder: Path) -> None:
    write(folder / "a.md", "".join(SECTIONS))
    steps.project("zoo", folder)
    steps.documents("zoo")
    steps.chunks("zoo")
    before = read_chunks(steps)
    with steps.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM rag.document_chunks WHERE chunk_index > 1")
        connection.exec_driver_sql("DELETE FROM rag.document_chunkings")
    steps.chunks("zoo")
    assert read_chunks(steps) == before


def test_a_changed_language_updates_only_the_language_of_chunks(steps: Steps, folder: Path) -> None:
    write(folder / "a.md", "Die alten Häuser.")
    steps.project("zoo", folder)
    steps.all("zoo")
    before = read_chunks(steps)
    steps.project("zoo", folder, language="german")
    assert steps.chunks("zoo")["updated"] == 1
    assert read_chunks(steps) == before
    assert rows(steps.engine, "SELECT tsv @@ to_tsquery('german', 'haus') FROM rag.document_chunks") == [(True,)]
    assert steps.chunks("zoo")["updated"] == 0
    steps.index()
    assert rows(steps.engine, "SELECT language::text FROM rag.word_statistics") == [("german",)]


def test_the_error_for_an_unknown_language_suggests_a_similar_one(steps: Steps, folder: Path) -> None:
    write(folder / "a.md", "Some text.")
    steps.project("zoo", folder, language="germann")
    steps.documents("zoo")
    with pytest.raises(UsageError, match="did you mean german"):
        steps.chunks("zoo")


def test_pending_documents_are_counted_per_project(steps: Steps, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name / "a.md", "text")
        steps.project(name, tmp_path / name)
    steps.documents("one", "two")
    chunking = steps.target.definition.chunking
    ids = dict(rows(steps.engine, "SELECT name, id FROM rag.projects"))
    steps.chunks("one")
    with steps.engine.connect() as connection:
        pending = {name: connection.execute(pending_documents(id_, chunking)).all() for name, id_ in ids.items()}
    assert len(pending["one"]) == 0
    assert len(pending["two"]) == 1


def test_many_documents_are_split_in_several_batches(steps: Steps, folder: Path) -> None:
    for number in range(450):
        write(folder / f"{number}.txt", f"Text of number {number}.")
    steps.project("zoo", folder)
    steps.documents("zoo")
    assert steps.chunks("zoo")["inserted"] == 450


def test_chunks_of_a_new_length_are_built_beside_the_old_ones_until_promotion(
    steps: Steps, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "a.md", "".join(SECTIONS))
    write(folder / "b.md", "A short text, whole in any chunking.")
    steps.project("zoo", folder)
    steps.all("zoo")
    steps.live()
    old = steps.target.definition.chunking
    embedded = set(steps.embedded)
    monkeypatch.setenv("RAG_ASSETS_CHUNK_TOKENS", "64")
    new = steps.target.definition.chunking
    steps.documents("zoo")
    steps.chunks("zoo")
    assert {row[0] for row in rows(steps.engine, "SELECT DISTINCT chunking FROM rag.document_chunks")} == {old, new}
    assert "A short text, whole in any chunking." in embedded
    steps.embeddings("zoo")
    assert not embedded & set(steps.encoders[2].embedded), "texts that already have a vector are not embedded again"
    steps.index()
    steps.live()
    # The old chunks are deleted with the last space that uses them; it is first kept for a rollback.
    assert rows(steps.engine, "SELECT id, status FROM rag.embedding_spaces ORDER BY id") == [
        (1, "previous"),
        (2, "live"),
    ]
    drop_space(steps.engine, steps.settings, 1)
    assert {row[0] for row in rows(steps.engine, "SELECT DISTINCT chunking FROM rag.document_chunks")} == {new}
    assert rows(steps.engine, "SELECT DISTINCT space_id FROM rag.embeddings") == [(2,)]


def test_chunk_tokens_of_a_project_split_only_that_project_again(steps: Steps, folder: Path) -> None:
    write(folder / "long.md", "Words and more words of the sea. " * 40)
    steps.project("zoo", folder)
    steps.project("sea", folder)
    steps.documents("zoo", "sea")
    steps.chunks("zoo", "sea")
    before = rows(steps.engine, "SELECT max(token_count), count(*) FROM rag.document_chunks")
    steps.project("zoo", folder, chunk_tokens=32, overlap_tokens=8)
    figures = steps.chunks("zoo", "sea")
    assert figures["inserted"] > 5
    found = rows(
        steps.engine,
        "SELECT p.name, max(c.token_count), s.chunk_tokens, s.overlap_tokens FROM rag.document_chunks c "
        "JOIN rag.documents d ON d.id = c.document_id JOIN rag.projects p ON p.id = d.project_id "
        "JOIN rag.document_chunkings s ON s.document_id = d.id AND s.chunking = c.chunking GROUP BY 1, 3, 4 ORDER BY 1",
    )
    assert found[0] == ("sea", before[0][0], None, None)
    assert found[1][0::2] == ("zoo", 32)
    assert found[1][1] <= 32
    assert rows(steps.engine, "SELECT count(*) FROM rag.embedding_spaces") == [(1,)], "the space does not change"
    assert sum(steps.chunks("zoo", "sea")[name] for name in ("inserted", "updated", "deleted")) == 0
    steps.project("zoo", folder)
    steps.chunks("zoo", "sea")
    assert rows(steps.engine, "SELECT max(token_count), count(*) FROM rag.document_chunks") == before


def test_full_chunks_replace_short_ones_and_an_edit_embeds_one(
    steps: Steps, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = [f"# Part {n}\n\n" + " ".join(f"Word {n} and number {m}." for m in range(18)) + "\n\n" for n in range(8)]
    write(folder / "a.md", "".join(sections))
    steps.project("zoo", folder)
    steps.all("zoo")
    steps.live()
    short = len(read_chunks(steps))
    monkeypatch.setenv("RAG_ASSETS_CHUNK_FILL", "full")
    assert steps.all("zoo")["embedded"] == (full := len(read_chunks(steps)) - short)
    assert steps.live()["promoted"]
    assert full < short == len(sections)
    write(folder / "a.md", "".join(sections).replace("Word 6 and number 3.", "Another word."))
    assert steps.all("zoo")["embedded"] == 1


def test_chunk_tokens_beyond_the_window_are_refused(steps: Steps, folder: Path) -> None:
    write(folder / "a.md", "a")
    steps.project("zoo", folder, chunk_tokens=9_999)
    steps.documents("zoo")
    with pytest.raises(UsageError, match="project zoo: chunk_tokens is 9999, but the window of"):
        steps.chunks("zoo")
