"""rag-assets spaces: promote, roll back and retire spaces manually."""

import pytest
from sqlalchemy import Engine, text

from rag_assets.pipeline.audit import latency
from rag_assets.settings.settings import load_settings
from tests.support.data.corpus import PROJECTS
from tests.support.installation.command_line import Cli
from tests.support.json_shapes import STATUS, assert_shape
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import Steps

STATES = "SELECT id, status FROM rag.embedding_spaces ORDER BY id"


@pytest.fixture
def two_spaces(built: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Space 1 is live; space 2, with another index, is complete."""
    monkeypatch.setattr(latency, "MEASURED_VECTORS", 300)
    monkeypatch.setenv("RAG_ASSETS_HNSW_M", "24")
    steps = Steps(built, load_settings())
    steps.chunks(*PROJECTS)
    steps.embeddings(*PROJECTS)
    steps.index()
    assert rows(built, STATES) == [(1, "live"), (2, "building")]
    return built


def test_a_space_is_promoted_rolled_back_and_retired(two_spaces: Engine, cli: Cli) -> None:
    result = cli("spaces", "list", "--json")
    assert_shape(result.json, {"spaces": STATUS["spaces"]})
    assert [(one["status"], one["texts_left"]) for one in result.json["spaces"]] == [("live", 0), ("building", 0)]
    assert cli("spaces", "list").out.count("index valid") == 2

    result = cli("spaces", "promote", "2")
    assert result.code == 0, result.err
    assert result.out.startswith("space 2 is live (")
    assert "space 1 is the previous one" in result.out
    assert cli("spaces", "promote", "2").out == "space 2 is live already\n"

    with two_spaces.begin() as connection:
        connection.execute(text("DELETE FROM rag.embeddings WHERE space_id = 1 AND get_byte(content_hash, 0) < 9"))
    result = cli("spaces", "rollback")
    assert (result.code, result.out.startswith("space 1 is live (")) == (0, True)
    assert "space 1 lacks chunks of 0 documents and vectors of" in result.err
    assert "(chunks, previous, rolled back from)" in cli("spaces", "list").out

    result = cli("spaces", "retire", "2")
    assert (result.code, rows(two_spaces, STATES)) == (0, [(1, "live"), (2, "retired")])
    assert "is retired; its vectors are gone" in result.out
    assert cli("status", "--json").json["spaces"][1]["bytes"] == 0


def test_invalid_operations_are_one_line_errors(two_spaces: Engine, cli: Cli) -> None:
    assert "there is no space 9; spaces that exist: 1, 2." in cli("spaces", "promote", "9").error(2)
    assert "there is no space 9" in cli("spaces", "retire", "9").error(2)
    assert "space 1 is live, and searches need it" in cli("spaces", "retire", "1").error(2)
    assert "nothing to roll back to" in cli("spaces", "rollback").error(2)
    assert "no previous space of messages" in cli("spaces", "rollback", "--kind", "messages").error(2)


def test_failed_checks_prevent_a_promotion_unless_it_is_forced(
    two_spaces: Engine, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_ASSETS_LATENCY_LIMIT_MS", "0.001")
    assert "search_latency: p95 of a search is" in cli("spaces", "promote", "2").error(1)
    assert rows(two_spaces, STATES) == [(1, "live"), (2, "building")]
    result = cli("spaces", "promote", "2", "--force")
    assert (result.code, rows(two_spaces, STATES)) == (0, [(1, "previous"), (2, "live")])
    assert "warning: search_latency does not pass" in result.err


def test_status_shows_the_texts_and_seconds_left(two_spaces: Engine, cli: Cli) -> None:
    with two_spaces.begin() as connection:
        connection.execute(text("DELETE FROM rag.embeddings WHERE space_id = 2 AND get_byte(content_hash, 0) < 128"))
        connection.execute(text("DELETE FROM rag.work_rates"))
    unknown = cli("status", "--json").json["spaces"]
    assert [one["seconds_left"] for one in unknown] == [0, None]
    assert f"{unknown[1]['texts_left']:,} texts to embed (no run has measured how long)" in cli("status").out
    tokens = rows(
        two_spaces,
        "SELECT sum(token_count) FROM (SELECT DISTINCT content_hash, token_count FROM rag.document_chunks) c "
        "WHERE content_hash NOT IN (SELECT content_hash FROM rag.embeddings WHERE space_id = 2)",
    )[0][0]
    with two_spaces.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO rag.work_rates (work, amount, seconds) "
                "SELECT 'embed ' || model || '@' || revision, 500, 5 FROM rag.embedding_spaces WHERE id = 2"
            )
        )
    found = cli("spaces", "list", "--json").json["spaces"][1]
    assert found["texts_left"] == unknown[1]["texts_left"] > 50
    assert found["seconds_left"] == pytest.approx(tokens / 100, abs=0.1)
