"""rag-assets tune: table, JSON, the stored choice, errors."""

import pytest
from sqlalchemy import Engine

from rag_assets.db.models.embeddings import DEFAULT_EF_SEARCH
from rag_assets.settings.settings import Settings
from tests.support.installation.command_line import Cli
from tests.support.json_shapes import assert_shape
from tests.support.pipeline.runs import rows

REPORT = {
    "target_recall": float,
    **dict.fromkeys(("ef_search", "before", "space", "vectors"), int),
    "questions": {"held_out": int, "stored": int},
    "points": [{"ef_search": int, "recall": {"held_out": float, "stored": float}, "p50_ms": float, "p95_ms": float}],
}


def read_choice(engine: Engine) -> list[tuple[object, ...]]:
    return rows(engine, "SELECT ef_search, tuning -> 'target_recall' FROM rag.embedding_spaces WHERE status = 'live'")


def test_json_has_the_promised_shape_and_the_choice_is_stored(built: Engine, cli: Cli) -> None:
    result = cli("tune", "--target-recall", "0.95", "--json")
    assert (result.code, result.err) == (0, "")
    assert_shape(result.json, REPORT)
    assert result.json["before"] == DEFAULT_EF_SEARCH
    assert read_choice(built) == [(result.json["ef_search"], 0.95)]


def test_text_output_has_the_curve_and_the_choice(built: Engine, cli: Cli) -> None:
    result = cli("tune")
    assert result.code == 0, result.err
    assert "recall@10" in result.out
    assert "100 held-out, 100 stored" in result.out
    [(chosen, target)] = read_choice(built)
    assert target == 0.97
    assert f"ef_search {chosen} (before: {DEFAULT_EF_SEARCH}) is stored" in result.out


def test_a_setting_that_overrides_the_choice_is_reported(
    built: Engine, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_ASSETS_EF_SEARCH", "999")
    result = cli("tune", "--json")
    assert result.code == 0
    assert "RAG_ASSETS_EF_SEARCH is 999" in result.err


def test_invalid_targets_and_an_empty_installation_are_one_line_errors(settings: Settings, cli: Cli) -> None:
    assert "the target recall is 1.5" in cli("tune", "--target-recall", "1.5").error(2)
    assert "run rag-assets ingest first" in cli("tune", "--json").error(3)
