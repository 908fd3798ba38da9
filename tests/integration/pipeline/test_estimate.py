"""The estimated cost of a change equals the work of the run that follows."""

import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from rag_assets.documents.parsing import parser
from rag_assets.pipeline import estimate
from rag_assets.pipeline.estimate import estimate_cost
from rag_assets.settings.settings import load_settings
from tests.support.data.conversations import MONDAY, add_conversation
from tests.support.fakes import HashEncoder
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import Steps, write

# Counts of written rows per table; reading does not change them.
WRITE_COUNTS = (
    "SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_all_tables WHERE schemaname = 'rag' ORDER BY relname"
)
OTHER_BACKENDS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND backend_type = 'client backend'"
)


@pytest.fixture
def zoo(steps: Steps, tmp_path: Path) -> Path:
    for number in range(30):
        parts = (f"# Part {part}\n\nAnimal {number} of part {part} " + "walks and eats " * 30 for part in range(4))
        write(tmp_path / "zoo" / f"{number}.md", "\n\n".join(parts))
    write(tmp_path / "zoo" / "copy.md", (tmp_path / "zoo" / "7.md").read_text())
    steps.project("zoo", tmp_path / "zoo")
    return tmp_path / "zoo"


def promote(steps: Steps, space: int = 1) -> None:
    with steps.engine.begin() as connection:
        connection.execute(text("UPDATE rag.embedding_spaces SET status = 'live' WHERE id = :id"), {"id": space})


@pytest.mark.parametrize(
    ("change", "changed", "embeds"),
    [
        ({"RAG_ASSETS_CHUNK_TOKENS": "40"}, {"chunking_settings"}, True),
        # A longer prompt leaves less room for text, so the chunking changes.
        ({"RAG_ASSETS_DOCUMENT_PROMPT": "text: "}, {"prompts", "chunking_settings"}, True),
        ({"RAG_ASSETS_DIMENSIONS": "64"}, {"dimensions"}, False),
        ({"RAG_ASSETS_QUERY_PROMPT": "ask: "}, {"prompts"}, False),
        ({"RAG_ASSETS_INDEX_STORAGE": "halfvec"}, {"storage"}, False),
        ({"RAG_ASSETS_DISTANCE": "l2", "RAG_ASSETS_HNSW_M": "24"}, {"distance", "m"}, False),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_the_estimate_equals_the_work_of_the_run(
    steps: Steps, zoo: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], changed: set[str], embeds: bool
) -> None:
    steps.all("zoo")
    promote(steps)
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    planned = estimate_cost(steps.engine, load_settings())
    assert (planned.live, planned.space, planned.changes.keys()) == (1, None, changed)
    assert planned.documents_to_cut == (31 if "chunking_settings" in changed else 0)
    assert not planned.estimated
    assert (planned.texts_to_embed > 0) is embeds
    done = steps.all("zoo")
    assert planned.texts_to_embed == done["embedded"]
    assert planned.tokens_to_embed == done["tokens"]
    assert planned.texts == done["distinct"]
    after = estimate_cost(steps.engine, load_settings())
    assert (after.space, after.texts, after.texts_to_embed, after.tokens_to_embed) == (2, planned.texts, 0, 0)
    assert (after.embedding_minutes, after.index_minutes, after.minutes) == (0, 0, 0)


def test_a_new_parser_version_reads_its_documents_again(
    steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "zoo" / "plain.txt", "The zebra is striped. " * 20)
    for number in range(3):
        write(tmp_path / "zoo" / f"{number}.html", f"<h1>Animal {number}</h1><p>It walks and eats. " * 20)
    steps.project("zoo", tmp_path / "zoo")
    steps.all("zoo")
    assert estimate_cost(steps.engine, load_settings()).documents_to_read == 0
    monkeypatch.setattr(parser, "document_library_version", lambda: "1.99.0")
    # Without its cache, which holds the version of before.
    monkeypatch.setattr(parser, "_version_for", parser._version_for.__wrapped__)
    assert estimate_cost(steps.engine, load_settings()).documents_to_read == 3
    steps.documents("zoo")
    assert estimate_cost(steps.engine, load_settings()).documents_to_read == 0
    readers = rows(steps.engine, "SELECT DISTINCT reader FROM rag.documents WHERE file_type = 'html'")
    assert len(readers) == 1
    assert readers[0][0].endswith("+xberg-1.99.0")


def test_every_text_is_to_be_embedded_before_the_first_run(steps: Steps, zoo: Path) -> None:
    empty = estimate_cost(steps.engine, load_settings())
    assert (empty.texts, empty.live, empty.minutes, empty.index_bytes) == (0, None, 0, 0)
    steps.documents("zoo")
    planned = estimate_cost(steps.engine, load_settings())
    assert planned.documents_to_cut == 31
    assert steps.all("zoo")["embedded"] == planned.texts_to_embed == planned.texts > 0


def test_an_estimate_writes_nothing(steps: Steps, zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps.all("zoo")
    promote(steps)
    monkeypatch.setenv("RAG_ASSETS_CHUNK_TOKENS", "40")
    monkeypatch.setenv("RAG_ASSETS_DIMENSIONS", "64")

    def write_counts() -> list[Any]:
        # A backend reports its statistics at the latest when it ends.
        steps.engine.dispose()
        while rows(steps.engine, OTHER_BACKENDS):
            time.sleep(0.05)
        return rows(steps.engine, WRITE_COUNTS)

    before = write_counts()
    estimate_cost(steps.engine, load_settings(), calibrate=lambda space: HashEncoder(space.dimensions))
    assert write_counts() == before
    assert rows(steps.engine, "SELECT count(*) FROM rag.embedding_spaces") == [(1,)]


def test_a_large_corpus_is_estimated_from_a_sample(steps: Steps, zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps.documents("zoo")
    exact = estimate_cost(steps.engine, load_settings())
    monkeypatch.setattr(estimate, "SAMPLE_BYTES", 15_000)
    planned = estimate_cost(steps.engine, load_settings())
    assert planned.estimated
    assert not exact.estimated
    assert planned.texts == pytest.approx(exact.texts, rel=0.1)
    assert planned.tokens_to_embed == pytest.approx(exact.tokens_to_embed, rel=0.1)


def test_the_time_comes_from_earlier_runs_or_a_calibration_or_is_unknown(
    steps: Steps, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps.settings = steps.settings.model_copy(update={"batch_tokens": 512})
    steps.all("zoo")
    promote(steps)
    [(rate,)] = rows(steps.engine, "SELECT amount / seconds FROM rag.work_rates WHERE work LIKE 'embed %'")
    monkeypatch.setenv("RAG_ASSETS_DOCUMENT_PROMPT", "text: ")
    planned = estimate_cost(steps.engine, load_settings())
    assert planned.embedding_minutes == pytest.approx(planned.tokens_to_embed / rate / 60, abs=0.006)
    assert planned.index_minutes is not None
    assert planned.minutes == pytest.approx(planned.embedding_minutes + planned.index_minutes, abs=0.011)
    with steps.engine.begin() as connection:
        connection.execute(text("DELETE FROM rag.work_rates WHERE work LIKE 'embed %'"))
    unknown = estimate_cost(steps.engine, load_settings())
    assert (unknown.embedding_minutes, unknown.minutes) == (None, None)
    encoder = HashEncoder()
    measured = estimate_cost(steps.engine, load_settings(), calibrate=lambda space: encoder)
    assert measured.embedding_minutes is not None
    assert len(encoder.embedded) == estimate.CALIBRATION_TEXTS + 1


def test_the_cost_of_messages_is_estimated(steps: Steps) -> None:
    texts = ["the storm is here", "the whale sings", "the whale sings"]
    add_conversation(steps.engine, MONDAY, *texts)
    planned = estimate_cost(steps.engine, load_settings(), "messages")
    assert (planned.texts, planned.texts_to_embed, planned.documents_to_cut) == (2, 2, 0)
    # No token counts are stored for messages; they are estimated from the length.
    assert planned.estimated
    assert planned.tokens_to_embed == sum(len(one) / 4 + 1 for one in set(texts))
    nothing = estimate_cost(steps.engine, load_settings(), "memories")
    assert (nothing.texts, nothing.minutes, nothing.estimated) == (0, 0, False)
