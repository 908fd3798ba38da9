"""Checks of documents and chunks, on damaged data."""

import dagster as dg
import pytest
from sqlalchemy import Engine

from rag_assets.documents.personal_data.step import PersonalDataStep
from rag_assets.orchestration.checks.documents import document_checks
from rag_assets.orchestration.scope import PipelineScope
from rag_assets.pipeline.audit.personal_data import no_personal_data
from rag_assets.pipeline.status import read_status
from tests.support.pipeline.check_runs import change_database, check_metadata, failed_names, run_checks
from tests.support.pipeline.runs import rows

ONE_CHUNK = "(SELECT id FROM rag.document_chunks ORDER BY id LIMIT 1)"
SHARED = "(SELECT content_hash FROM rag.document_chunks GROUP BY 1 HAVING count(*) > 1)"


def test_unreadable_documents_are_a_warning_with_their_reasons(built: Engine) -> None:
    change_database(
        built,
        "UPDATE rag.documents SET status = 'failed', error = 'is encrypted' "
        "WHERE file_path IN ('page00.md', 'page01.md')",
    )
    found = run_checks()
    assert failed_names(found) == {"documents_readable"}
    assert found["documents_readable"].severity.value == "WARN"
    metadata = check_metadata(found, "documents_readable")
    examples = [f"{p}/page0{n}.md: is encrypted" for p in ("sea", "zoo") for n in (0, 1)]
    assert metadata.items() >= {"documents": 29, "failed": 4, "threshold": 0, "examples": examples}.items()
    table = metadata["failed_documents"].splitlines()
    assert table[0] == "| project | document | reason |"
    assert table[2] == "| sea | page00.md | is encrypted |"
    assert len(table) == 6
    assert len(metadata["largest_documents"].splitlines()) == 7


def test_characters_that_could_not_be_decoded_are_a_warning(built: Engine) -> None:
    report = '{"replaced_characters": 3}'
    change_database(built, f"UPDATE rag.documents SET parse_report = '{report}' WHERE file_path = 'page02.md'")
    found = run_checks()
    assert failed_names(found) == {"documents_readable"}
    metadata = check_metadata(found, "documents_readable")
    assert (metadata["failed"], metadata["replaced_characters"]) == (0, 6)
    assert metadata["examples"] == [f"{p}/page02.md: 3 characters replaced" for p in ("sea", "zoo")]
    assert found["documents_readable"].description == (
        "2 of 29 documents have characters that could not be decoded (6)"
    )


def test_documents_that_were_not_read_as_a_whole_are_a_warning(built: Engine) -> None:
    report = '{"notes": ["page 2 of 9 is a picture"]}'
    change_database(built, f"UPDATE rag.documents SET parse_report = '{report}' WHERE file_path = 'page02.md'")
    empty = '{"notes": ["the file is empty"]}'
    change_database(built, f"UPDATE rag.documents SET parse_report = '{empty}' WHERE file_path = 'page01.md'")
    found = run_checks()
    assert failed_names(found) == {"documents_readable"}
    metadata = check_metadata(found, "documents_readable")
    assert (metadata["failed"], metadata["with_remarks"]) == (0, 2)
    assert metadata["examples"] == [f"{p}/page02.md: page 2 of 9 is a picture" for p in ("sea", "zoo")]
    assert found["documents_readable"].description == "2 of 29 documents were not read as a whole"


def test_documents_in_letters_that_the_model_does_not_know_are_a_warning(built: Engine) -> None:
    change_database(
        built,
        "UPDATE rag.document_chunkings SET unknown_share = 0.97 "
        "WHERE document_id IN (SELECT id FROM rag.documents WHERE file_path = 'page02.md')",
    )
    found = run_checks()
    assert failed_names(found) == {"model_knows_alphabet"}
    assert found["model_knows_alphabet"].severity.value == "WARN"
    metadata = check_metadata(found, "model_knows_alphabet")
    assert metadata.items() >= {"documents": 29, "unknown": 2}.items()
    assert metadata["examples"] == [f"{p}/page02.md: 97% unknown" for p in ("sea", "zoo")]
    assert "take a multilingual model" in (found["model_knows_alphabet"].description or "")
    unknown = read_status(built)["unknown_alphabets"]
    assert [(one["project"], round(one["unknown_share"], 2)) for one in unknown] == [("sea", 0.97), ("zoo", 0.97)]


def test_checks_show_charts_and_a_sample(built: Engine) -> None:
    found = run_checks()
    for check in ("documents_readable", "chunks_fit_window", "search_latency"):
        chart = found[check].metadata["chart"]
        assert isinstance(chart, dg.MarkdownMetadataValue)
        assert chart.md_str.startswith("![")
        assert "](data:image/svg+xml;base64," in chart.md_str
    sample = check_metadata(found, "offsets_reproduce_text")["sample"].splitlines()
    assert sample[0] == "| document | chunk | text |"
    assert len({line.split("|")[1] for line in sample[2:]}) == 5


def test_a_document_without_its_chunks_is_found(built: Engine) -> None:
    change_database(
        built,
        "DELETE FROM rag.document_chunks c USING rag.documents d JOIN rag.projects p ON p.id = d.project_id "
        "WHERE c.document_id = d.id AND p.name = 'zoo' AND d.file_path = 'copy.txt'",
    )
    found = run_checks()
    # Its text is in another document too, so no vector is an orphan.
    assert failed_names(found) == {"documents_have_chunks"}
    assert check_metadata(found, "documents_have_chunks")["examples"] == ["zoo/copy.txt"]
    assert check_metadata(found, "documents_have_chunks")["without_their_chunks"] == 1


def test_a_missing_chunk_and_its_orphan_vector_are_found(built: Engine) -> None:
    change_database(
        built,
        f"DELETE FROM rag.document_chunks WHERE id = "
        f"(SELECT id FROM rag.document_chunks WHERE content_hash NOT IN {SHARED} ORDER BY id LIMIT 1)",
    )
    found = run_checks()
    assert failed_names(found) == {"documents_have_chunks", "no_orphan_vectors"}
    assert check_metadata(found, "documents_have_chunks")["without_their_chunks"] == 1
    assert check_metadata(found, "no_orphan_vectors")["orphans"] == 1


def test_a_document_whose_text_changed_after_its_chunks_is_found(built: Engine) -> None:
    change_database(
        built,
        "UPDATE rag.documents SET content = 'Other words.', content_hash = sha256('Other words.') "
        "WHERE file_path = 'page02.md'",
    )
    found = run_checks()
    assert failed_names(found) == {"documents_have_chunks"}
    assert check_metadata(found, "documents_have_chunks")["without_their_chunks"] == 2


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("char_start = char_start + 1, char_end = char_end + 1", id="offsets-shifted-by-one"),
        pytest.param("content_hash = sha256('another text')", id="hash-of-another-text"),
    ],
)
def test_a_chunk_that_differs_from_the_text_at_its_offsets_is_found(built: Engine, statement: str) -> None:
    change_database(built, f"UPDATE rag.document_chunks SET {statement} WHERE id = {ONE_CHUNK}")
    found = run_checks()
    shown = check_metadata(found, "offsets_reproduce_text")
    assert "offsets_reproduce_text" in failed_names(found)
    assert (shown["wrong"], len(shown["examples"])) == (1, 1)
    [(path, index, start, end)] = rows(
        built,
        "SELECT file_path, chunk_index, char_start, char_end FROM rag.document_chunks c "
        f"JOIN rag.documents d ON d.id = document_id WHERE c.id = {ONE_CHUNK}",
    )
    assert shown["examples"] == [f"{path} chunk {index} [{start}:{end}]"]
    # With another hash, the old vector has no chunk and the new hash has no vector.
    others = {"texts_have_vectors", "no_orphan_vectors", "serves_wanted_space"} if "hash" in statement else set()
    assert failed_names(found) == {"offsets_reproduce_text"} | others


def test_a_chunk_whose_text_was_changed_is_found(built: Engine) -> None:
    change_database(built, f"UPDATE rag.document_chunks SET chunk_text = chunk_text || '!' WHERE id = {ONE_CHUNK}")
    found = run_checks()
    assert failed_names(found) == {"offsets_reproduce_text"}
    assert check_metadata(found, "offsets_reproduce_text")["wrong"] == 1


def test_many_wrong_chunks_are_counted_and_a_few_of_them_shown(built: Engine) -> None:
    wrong = change_database(
        built,
        "UPDATE rag.document_chunks SET char_start = char_start + 1, char_end = char_end + 1 WHERE char_start > 0",
    )
    shown = check_metadata(run_checks(), "offsets_reproduce_text")
    assert (shown["wrong"], len(shown["examples"])) == (wrong, 5)


def test_a_chunk_longer_than_the_window_is_found_despite_a_wrong_stored_count(built: Engine) -> None:
    long = " ".join(["word"] * 300)
    change_database(
        built,
        "UPDATE rag.document_chunks SET chunk_text = :long, content_hash = sha256(convert_to(:long, 'UTF8')), "
        f"token_count = 7 WHERE id = {ONE_CHUNK}",
        long=long,
    )
    found = run_checks()
    assert "chunks_fit_window" in failed_names(found)
    assert check_metadata(found, "chunks_fit_window")["longest_tokens"] == 300
    assert check_metadata(found, "chunks_fit_window")["threshold"] == 254


def test_a_stored_token_count_over_the_window_is_found(built: Engine) -> None:
    change_database(built, f"UPDATE rag.document_chunks SET token_count = 400 WHERE id = {ONE_CHUNK}")
    found = run_checks()
    assert failed_names(found) == {"chunks_fit_window"}
    assert check_metadata(found, "chunks_fit_window")["longest_tokens"] == 400


def test_checks_without_a_space_name_the_command(settings: object) -> None:
    import dagster as dg

    from tests.support.pipeline.runs import errors, fake_defs

    with dg.DagsterInstance.ephemeral() as instance:
        result = fake_defs.resolve_job_def("checks").execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    assert not result.success
    assert any("run rag-assets ingest first" in message for message in errors(result))


def test_personal_data_blocks_where_a_setting_looks_for_it(built: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_ASSETS_PERSONAL_DATA", "check")
    scope = PipelineScope()
    spec = next(spec for spec in document_checks(scope).check_specs if spec.name == "no_personal_data")
    assert spec.blocking
    monkeypatch.setenv("RAG_ASSETS_PERSONAL_DATA", "keep")
    assert "no_personal_data" not in {spec.name for spec in document_checks(scope).check_specs}
    change_database(built, "UPDATE rag.documents SET title = 'anna@example.org' WHERE file_path = 'page03.md'")
    found = no_personal_data(built, PersonalDataStep("check", ("email",)))
    assert (found.passed, found.metadata["email"]) == (False, 2)
