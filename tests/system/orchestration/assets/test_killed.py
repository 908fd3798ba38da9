"""A run over messages killed with SIGKILL at a chosen statement: the next run ends in the same tables."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from rag_assets.settings.settings import Settings
from tests.support.data.conversations import MONDAY, TUESDAY, add_conversation, materialize_without_checks
from tests.support.fakes import ENCODERS
from tests.support.pipeline.crashes import ChildRun, Forker, start_forker
from tests.support.pipeline.runs import rows

POINTS = {
    "space, half made": (r"CREATE TABLE IF NOT EXISTS .*PARTITION OF", 1, "after"),
    "later batch": (r"INSERT INTO rag\.embeddings_\d+ ", 3, "after"),
    "later batch, committed": (r"INSERT INTO rag\.embeddings_\d+ ", 3, "committed"),
    "orphans removed": (r"DELETE FROM rag\.embeddings_\d+ ", 1, "after"),
    "index, built": (r"CREATE INDEX", 1, "after"),
}
ASSETS = ("message_embeddings", "message_index")


@pytest.fixture(scope="module")
def children() -> Iterator[Forker]:
    with start_forker() as forker:
        yield forker


def content(engine: Engine) -> dict[str, list[Any]]:
    queries = {
        "embeddings": "SELECT content_hash, embedding::text FROM rag.embeddings ORDER BY 1",
        "spaces": "SELECT kind, fingerprint, status FROM rag.embedding_spaces",
        "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'rag' AND tablename LIKE 'embeddings_%' "
        "ORDER BY 1",
        "invalid": "SELECT indexrelid FROM pg_index WHERE NOT indisvalid",
    }
    return {name: rows(engine, query) for name, query in queries.items()}


@pytest.mark.parametrize("point", POINTS)
def test_the_next_run_ends_in_the_same_tables(
    settings: Settings,
    engine: Engine,
    tmp_path: Path,
    children: Forker,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
) -> None:
    monkeypatch.setenv("RAG_ASSETS_BATCH_TOKENS", "64")
    ENCODERS.clear()
    for day in (MONDAY, TUESDAY):
        add_conversation(engine, day, *(f"whale number {number} of {day} sings in the sea" for number in range(25)))
    pattern, nth, moment = POINTS[point]
    names = ("RAG_ASSETS_STATE_DIR", "RAG_ASSETS_DATABASE_URL", "DAGSTER_HOME", "RAG_ASSETS_BATCH_TOKENS")
    child = ChildRun(
        project=f"{MONDAY}...{TUESDAY}",
        env={name: os.environ[name] for name in names},
        log=str(tmp_path / "embedded.log"),
        kill_at=pattern,
        nth=nth,
        moment=moment,
        job="messages",
    )
    [ended] = children.run(child)
    assert ended.killed, ended.errors
    materialize_without_checks(*ASSETS, days=(MONDAY, TUESDAY))
    found = content(engine)
    assert len(found["embeddings"]) == 50
    assert (len(found["indexes"]), found["invalid"]) == (2, [])
    embedded = (tmp_path / "embedded.log").read_text().splitlines() if (tmp_path / "embedded.log").exists() else []
    again = [text for encoder in ENCODERS.values() for text in encoder.embedded]
    # At most two batches of the killed run are embedded again: the one being written and the one being made.
    assert len(embedded) + len(again) <= 50 + 2 * (64 // 10)
    materialize_without_checks(*ASSETS, days=(MONDAY, TUESDAY))
    assert content(engine) == found
