"""rag-assets spaces: by hand what the asset live_space does."""

import pytest
from sqlalchemy import Engine, text

from rag_assets.pipeline.audit import latency
from rag_assets.settings.settings import load_settings
from tests.support.command_line import Cli
from tests.support.corpus import PROJECTS
from tests.support.json_shapes import STATUS, assert_shape
from tests.support.runs import rows
from tests.support.stages import Steps

STATES = "SELECT id, status FROM rag.embedding_spaces ORDER BY id"


@pytest.fixture
def two(built: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Space 1 serves; space 2, with another index, is complete beside it."""
    monkeypatch.setattr(latency, "MEASURED_VECTORS", 300)
    monkeypatch.setenv("RAG_ASSETS_HNSW_M", "24")
    steps = Steps(built, load_settings())
    steps.chunks(*PROJECTS)
    steps.embeddings(*PROJECTS)
    steps.index()
    assert rows(built, STATES) == [(1, "live"), (2, "building")]
    return built


def test_there_and_back_again(two: Engine, cli: Cli) -> None:
    said = cli("spaces", "list", "--json")
    assert_shape(said.json, {"spaces": STATUS["spaces"]})
    assert [(one["status"], one["texts_left"]) for one in said.json["spaces"]] == [("live", 0), ("building", 0)]
    assert cli("spaces", "list").out.count("index valid") == 2

    said = cli("spaces", "promote", "2")
    assert said.code == 0, said.err
    assert said.out.startswith("space 2 is live (")
    assert "space 1 is the previous one" in said.out
    assert cli("spaces", "promote", "2").out == "space 2 is live already\n"

    with two.begin() as connection:
        connection.execute(text("DELETE FROM rag.embeddings WHERE space_id = 1 AND get_byte(content_hash, 0) < 9"))
    said = cli("spaces", "rollback")
    assert (said.code, said.out.startswith("space 1 is live (")) == (0, True)
    assert "space 1 lacks chunks of 0 documents and vectors of" in said.err
    assert "(chunks, previous, rolled back from)" in cli("spaces", "list").out

    said = cli("spaces", "retire", "2")
    assert (said.code, rows(two, STATES)) == (0, [(1, "live"), (2, "retired")])
    assert "is retired; its vectors are gone" in said.out
    assert cli("status", "--json").json["spaces"][1]["bytes"] == 0


def test_what_cannot_be_is_said_in_one_line(two: Engine, cli: Cli) -> None:
    assert "there is no space 9; spaces that exist: 1, 2." in cli("spaces", "promote", "9").error(2)
    assert "there is no space 9" in cli("spaces", "retire", "9").error(2)
    assert "space 1 is live, and searches need it" in cli("spaces", "retire", "1").error(2)
    assert "nothing to roll back to" in cli("spaces", "rollback").error(2)
    assert "no previous space of messages" in cli("spaces", "rollback", "--kind", "messages").error(2)


def test_checks_that_do_not_pass_are_named_and_forced_with_a_warning(
    two: Engine, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_ASSETS_LATENCY_LIMIT_MS", "0.001")
    assert "search_latency: p95 of a search is" in cli("spaces", "promote", "2").error(1)
    assert rows(two, STATES) == [(1, "live"), (2, "building")]
    said = cli("spaces", "promote", "2", "--force")
    assert (said.code, rows(two, STATES)) == (0, [(1, "previous"), (2, "live")])
    assert "warning: search_latency does not pass" in said.err


def test_what_is_left_and_how_long_it_takes_stands_in_the_status(two: Engine, cli: Cli) -> None:
    with two.begin() as connection:
        connection.execute(text("DELETE FROM rag.embeddings WHERE space_id = 2 AND get_byte(content_hash, 0) < 128"))
        connection.execute(text("DELETE FROM rag.work_rates"))
    unknown = cli("status", "--json").json["spaces"]
    assert [one["seconds_left"] for one in unknown] == [0, None]
    assert f"{unknown[1]['texts_left']:,} texts to embed (no run has measured how long)" in cli("status").out
    tokens = rows(
        two,
        "SELECT sum(token_count) FROM (SELECT DISTINCT content_hash, token_count FROM rag.document_chunks) c "
        "WHERE content_hash NOT IN (SELECT content_hash FROM rag.embeddings WHERE space_id = 2)",
    )[0][0]
    with two.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO rag.work_rates (work, amount, seconds) "
                "SELECT 'embed ' || model || '@' || revision, 500, 5 FROM rag.embedding_spaces WHERE id = 2"
            )
        )
    found = cli("spaces", "list", "--json").json["spaces"][1]
    assert found["texts_left"] == unknown[1]["texts_left"] > 50
    assert found["seconds_left"] == pytest.approx(tokens / 100, abs=0.1)
