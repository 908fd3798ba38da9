"""rag-assets plan: the cost of a change, as text and as JSON."""

import pytest
from sqlalchemy import URL, Engine

from rag_assets.settings.settings import Settings
from tests.support.installation.command_line import Cli
from tests.support.json_shapes import assert_shape
from tests.support.pipeline.runs import rows

NUMBER = (float, int, type(None))
PLAN = {
    "plans": [
        {"kind": str, "live": (int, type(None)), "space": (int, type(None)), "changes": dict, "estimated": bool}
        | dict.fromkeys(("documents_to_read", "documents_to_cut", "texts", "texts_to_embed", "tokens_to_embed"), int)
        | dict.fromkeys(("table_bytes", "index_bytes", "bytes_there"), int)
        | dict.fromkeys(("embedding_minutes", "index_minutes", "minutes"), NUMBER)
    ]
}


def test_a_change_is_planned_as_text_and_as_json(built: Engine, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    result = cli("plan")
    assert result.code == 0, result.err
    assert "chunks: the settings ask for space 1, which is live" in result.out
    assert "to embed: 0 of" in result.out
    assert "messages: none stored" in result.out

    # Shorter vectors can be derived from the stored ones; the lengths that normalizing removed cannot.
    monkeypatch.setenv("RAG_ASSETS_DIMENSIONS", "128")
    monkeypatch.setenv("RAG_ASSETS_NORMALIZE", "false")
    [(texts,)] = rows(built, "SELECT count(*) FROM rag.embeddings")
    result = cli("plan", "--json")
    assert_shape(result.json, PLAN)
    chunks, messages, memories = result.json["plans"]
    assert chunks["changes"] == {
        "dimensions": {"live": 384, "wanted": 128},
        "normalize": {"live": True, "wanted": False},
    }
    assert (chunks["texts_to_embed"], chunks["texts"], messages["texts"], memories["texts"]) == (texts, texts, 0, 0)
    shown = cli("plan").out
    assert "another space than live space 1: dimensions 384 → 128, normalize True → False" in shown
    assert f"to embed: {texts:,} of {texts:,} texts" in shown
    assert rows(built, "SELECT count(*) FROM rag.embedding_spaces") == [(1,)]


def test_the_parts_of_an_index_are_planned_by_memory(built: Engine, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_ASSETS_INDEX_PARTS", "2")
    chunks = cli("plan", "--json").json["plans"][0]
    assert chunks["changes"] == {"parts": {"live": 1, "wanted": 2}}
    assert (chunks["texts_to_embed"], chunks["parts"], chunks["recommended_parts"]) == (0, 2, 1)
    assert "parts of the index: 2; one graph needs 64.0 MB to be built, so RAG_ASSETS_INDEX_PARTS=1 suits it" in (
        cli("plan").out
    )
    # As if the texts were many.
    monkeypatch.setattr("rag_assets.pipeline.estimate.parts_for", lambda *_: 5)
    assert "so RAG_ASSETS_INDEX_PARTS=5 suits it" in cli("plan").out


def test_an_outdated_schema_is_an_error_and_is_not_upgraded(
    empty_database: URL, settings: Settings, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_ASSETS_DATABASE_URL", empty_database.render_as_string(hide_password=False))
    assert "run rag-assets db upgrade" in cli("plan").error(3)
    assert cli("db", "current").out.startswith("none")
