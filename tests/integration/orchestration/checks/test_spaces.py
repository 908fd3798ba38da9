"""Checks of vectors, index and live space, on damaged data."""

import re

import pytest
from sqlalchemy import Engine

from tests.support.pipeline.check_runs import change_database, check_metadata, failed_names, run_checks
from tests.support.pipeline.runs import rows

INDEX = "rag.ix_embeddings_1_hnsw"
ONE_VECTOR = "(SELECT content_hash FROM rag.embeddings ORDER BY content_hash LIMIT 1)"
HNSW = "hnsw ((embedding::vector(384)) vector_cosine_ops)"


def test_missing_vectors_are_counted_exactly(built: Engine) -> None:
    [(vectors,)] = rows(built, "SELECT count(*) FROM rag.embeddings")
    deleted = change_database(
        built,
        "DELETE FROM rag.embeddings WHERE content_hash IN "
        "(SELECT content_hash FROM rag.embeddings ORDER BY content_hash LIMIT ceil(:n * 0.01))",
        n=vectors,
    )
    found = run_checks()
    assert deleted == 2
    assert failed_names(found) == {"texts_have_vectors", "serves_wanted_space"}
    assert check_metadata(found, "texts_have_vectors")["missing"] == deleted
    assert found["texts_have_vectors"].description == f"{deleted} of {vectors} distinct texts have no vector"


def test_a_missing_vector_shows_why_its_text_was_set_aside(built: Engine) -> None:
    change_database(
        built,
        f"INSERT INTO rag.embedding_failures (space_id, content_hash, error) VALUES (1, {ONE_VECTOR}, 'too odd')",
    )
    change_database(built, f"DELETE FROM rag.embeddings WHERE content_hash = {ONE_VECTOR}")
    [said] = check_metadata(run_checks(), "texts_have_vectors")["set_aside"]
    assert re.fullmatch(r"zoo/page\d\d\.md chunk \d: too odd", said)


def test_orphan_vectors_are_found(built: Engine) -> None:
    change_database(
        built,
        "INSERT INTO rag.embeddings SELECT 1, sha256(content_hash), embedding FROM rag.embeddings "
        "ORDER BY content_hash LIMIT 3",
    )
    found = run_checks()
    assert failed_names(found) == {"no_orphan_vectors"}
    assert check_metadata(found, "no_orphan_vectors")["orphans"] == 3


def test_one_zero_vector_is_found(built: Engine) -> None:
    change_database(
        built,
        "UPDATE rag.embeddings SET embedding = array_fill(0::real, ARRAY[384])::vector "
        f"WHERE content_hash = {ONE_VECTOR}",
    )
    found = run_checks()
    assert "vectors_are_sound" in failed_names(found)
    assert failed_names(found) <= {"vectors_are_sound", "recall_at_10"}
    shown = check_metadata(found, "vectors_are_sound")
    assert (shown["zero"], shown["wrong_norm"], shown["norm_min"]) == (1, 0, 0.0)


def test_one_vector_of_another_length_is_found(built: Engine) -> None:
    change_database(
        built,
        "UPDATE rag.embeddings SET embedding = embedding * array_fill(3::real, ARRAY[384])::vector "
        f"WHERE content_hash = {ONE_VECTOR}",
    )
    found = run_checks()
    assert failed_names(found) == {"vectors_are_sound"}
    assert check_metadata(found, "vectors_are_sound")["wrong_norm"] == 1
    assert check_metadata(found, "vectors_are_sound")["norm_max"] == pytest.approx(3, rel=1e-5)


def test_a_vector_of_wrong_dimensions_is_found(built: Engine) -> None:
    change_database(built, f"DROP INDEX {INDEX}")
    change_database(built, f"UPDATE rag.embeddings SET embedding = '[0.6,0.8]' WHERE content_hash = {ONE_VECTOR}")
    found = run_checks()
    assert check_metadata(found, "vectors_are_sound")["wrong_dimensions"] == 1
    vectors = check_metadata(found, "vectors_are_sound")["vectors"]
    assert found["vectors_are_sound"].description == f"1 of {vectors} vectors are not sound (1 wrong_dimensions)"
    assert {"vectors_are_sound", "index_valid"} <= failed_names(found)
    assert "texts_have_vectors" not in failed_names(found)


def test_a_missing_index_is_found(built: Engine) -> None:
    change_database(built, f"DROP INDEX {INDEX}")
    found = run_checks()
    assert failed_names(found) == {"index_valid", "index_used", "recall_at_10"}
    assert check_metadata(found, "index_valid")["state"] == "absent"
    assert check_metadata(found, "index_valid")["bytes"] == 0
    assert check_metadata(found, "index_used")["index_usable"] is False


@pytest.mark.parametrize(
    ("definition", "serves"),
    [
        pytest.param("hnsw ((embedding::vector(384)) vector_l2_ops) WITH (m=16, ef_construction=64)", False, id="l2"),
        pytest.param(f"{HNSW} WITH (m=8, ef_construction=64)", True, id="m"),
    ],
)
def test_an_index_of_another_definition_is_found(built: Engine, definition: str, serves: bool) -> None:
    change_database(built, f"DROP INDEX {INDEX}")
    change_database(built, f"CREATE INDEX ix_embeddings_1_hnsw ON rag.embeddings_1 USING {definition}")
    found = run_checks()
    assert failed_names(found) == ({"index_valid"} if serves else {"index_valid", "index_used", "recall_at_10"})
    assert check_metadata(found, "index_valid")["state"] == "stale"
    assert check_metadata(found, "index_used")["index_usable"] is serves


def test_an_invalid_index_is_found(built: Engine) -> None:
    change_database(built, f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{INDEX}'::regclass")
    found = run_checks()
    assert failed_names(found) == {"index_valid", "index_used", "recall_at_10"}
    assert check_metadata(found, "index_valid")["state"] == "invalid"


def test_a_recall_below_its_threshold_is_found(built: Engine) -> None:
    # The vectors change while the index is not maintained, so the graph lacks them.
    change_database(built, f"UPDATE pg_index SET indisready = false WHERE indexrelid = '{INDEX}'::regclass")
    change_database(
        built,
        "UPDATE rag.embeddings SET embedding = embedding * array_fill(-1::real, ARRAY[384])::vector, checksum = NULL "
        "WHERE get_byte(content_hash, 0) < 128",
    )
    change_database(built, f"UPDATE pg_index SET indisready = true WHERE indexrelid = '{INDEX}'::regclass")
    found = run_checks()
    assert failed_names(found) == {"recall_at_10"}
    shown = check_metadata(found, "recall_at_10")
    assert shown["recall_mean"] < 0.95
    assert shown["recall_min"] <= shown["recall_mean"]
    assert (shown["threshold"], shown["questions"]) == (0.95, 50)


def test_a_latency_over_its_threshold_is_found(built: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_ASSETS_LATENCY_LIMIT_MS", "0.01")
    found = run_checks()
    assert failed_names(found) == {"search_latency"}
    shown = check_metadata(found, "search_latency")
    assert shown["threshold_ms"] == 0.01 < shown["p95_ms"]


def test_a_missing_live_space_is_found(built: Engine) -> None:
    change_database(built, "UPDATE rag.embedding_spaces SET status = 'building'")
    found = run_checks()
    assert failed_names(found) == {"serves_wanted_space"}
    assert found["serves_wanted_space"].description == "no space is live"


def test_a_dropped_view_is_found(built: Engine) -> None:
    change_database(built, "DROP VIEW rag.live_chunks")
    found = run_checks()
    assert failed_names(found) == {"serves_wanted_space"}
    assert found["serves_wanted_space"].description == "the view rag.live_chunks is missing"


def test_a_live_space_other_than_the_wanted_one_is_found(built: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_ASSETS_HNSW_M", "24")
    found = run_checks()
    assert failed_names(found) == {"serves_wanted_space"}
    assert check_metadata(found, "serves_wanted_space")["is_wanted"] is False


def test_an_error_in_a_check_fails_only_that_check(built: Engine) -> None:
    change_database(built, "ALTER TABLE rag.embedding_failures RENAME TO embedding_failures_away")
    found = run_checks()
    assert failed_names(found) == {"texts_have_vectors"}
    assert "could not be run" in (found["texts_have_vectors"].description or "")
