"""The wanted space: which settings change it, and how spaces replace each other."""

from dataclasses import replace
from pathlib import Path

import pytest

from rag_assets.db.spaces.spaces import ensure_space
from rag_assets.embedding.model import find_model
from rag_assets.errors import ServiceError, UsageError
from rag_assets.pipeline.target import wanted_space
from rag_assets.pipeline.target.wanted_space import space_to_check, storage_for, target_space
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import Steps, write


def test_chunks_longer_than_the_window_are_refused(steps: Steps) -> None:
    settings = steps.settings.model_copy(update={"chunk_tokens": 255})
    with pytest.raises(UsageError, match=r"RAG_ASSETS_CHUNK_TOKENS is 255, .* holds 254 tokens; set it to 254 or less"):
        target_space(settings)
    fits = target_space(steps.settings.model_copy(update={"chunk_tokens": 254}))
    assert fits.definition == target_space(steps.settings).definition


def test_an_overlap_as_long_as_a_chunk_is_a_usage_error(steps: Steps) -> None:
    with pytest.raises(UsageError, match="RAG_ASSETS_OVERLAP_TOKENS"):
        target_space(steps.settings.model_copy(update={"chunk_tokens": 64, "overlap_tokens": 64}))


def test_a_missing_model_is_an_error(steps: Steps, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="RAG_ASSETS_MODEL"):
        target_space(steps.settings.model_copy(update={"model": "nobody/has-this"}))
    with pytest.raises((ServiceError, UsageError), match="RAG_ASSETS_MODEL"):
        target_space(steps.settings.model_copy(update={"model": str(tmp_path)}))


@pytest.mark.parametrize(
    ("change", "same_chunking"),
    [
        ({"chunk_tokens": 100}, False),
        ({"chunk_fill": "full"}, False),
        ({"overlap_tokens": 10}, False),
        ({"hnsw_m": 24}, True),
        ({"index_storage": "halfvec"}, True),
        ({"index_storage": "bit"}, True),
        ({"index_method": "ivfflat"}, True),
        ({"dimensions": 128}, True),
        ({"query_prompt": "question: "}, True),
        # A prompt leaves less room in the window for chunks.
        ({"document_prompt": "passage: "}, False),
        ({"normalize": False}, True),
        ({"distance": "ip"}, True),
    ],
    ids=lambda value: "-".join(map(str, *value.items())) if isinstance(value, dict) else "",
)
def test_these_settings_change_the_space(steps: Steps, change: dict[str, object], same_chunking: bool) -> None:
    before = target_space(steps.settings).definition
    after = target_space(steps.settings.model_copy(update=change)).definition
    assert after.fingerprint != before.fingerprint
    assert (after.chunking == before.chunking) is same_chunking


def test_prompts_of_the_settings_replace_those_of_the_model(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    own = find_model(steps.settings.model)
    kept = {"passage": "text: ", "query": "ask: ", "clustering": "group: "}
    monkeypatch.setattr(wanted_space, "find_model", lambda name, revision: replace(own, prompts=kept))
    change = {"document_prompt": "-", "query_prompt": "question: ", "max_document_mb": 99}
    found = target_space(steps.settings.model_copy(update=change)).definition
    assert found.prompts == {"query": "question: ", "clustering": "group: "}
    assert target_space(steps.settings.model_copy(update={"max_document_mb": 99})).definition.prompts == kept


def test_more_dimensions_than_the_model_has_are_refused(steps: Steps) -> None:
    with pytest.raises(UsageError, match=r"RAG_ASSETS_DIMENSIONS is 385, but .* have 384; set it to 384 or less"):
        target_space(steps.settings.model_copy(update={"dimensions": 385}))
    same = target_space(steps.settings.model_copy(update={"dimensions": 384})).definition
    assert same == target_space(steps.settings).definition


def test_settings_that_affect_no_vector_keep_the_space(steps: Steps) -> None:
    before = target_space(steps.settings).definition
    lists = steps.settings.model_copy(update={"index_method": "ivfflat"})
    graph = lists.model_copy(update={"hnsw_m": 32, "hnsw_ef_construction": 256})
    assert target_space(lists).definition.fingerprint == target_space(graph).definition.fingerprint
    for change in ({"ef_search": 200}, {"batch_tokens": 512}, {"lock_wait_s": 1.0}):
        assert target_space(steps.settings.model_copy(update=change)).definition == before


def test_oversampling_keeps_the_space(steps: Steps) -> None:
    wider = target_space(steps.settings.model_copy(update={"oversampling": 20})).definition
    assert wider.fingerprint == steps.target.definition.fingerprint
    with steps.engine.begin() as connection:
        ensure_space(connection, steps.target.definition)
        assert ensure_space(connection, wider).oversampling == 20
    assert rows(steps.engine, "SELECT oversampling FROM rag.embedding_spaces") == [(20,)]


@pytest.mark.parametrize(
    ("dimensions", "wanted", "stored"),
    [
        (2_000, "vector", "vector"),
        (2_001, "vector", "halfvec"),
        (4_000, "halfvec", "halfvec"),
        (4_001, "vector", "bit"),
        (4_001, "halfvec", "bit"),
        (384, "bit", "bit"),
    ],
)
def test_vectors_too_long_for_a_storage_use_the_next_one_with_a_warning(
    dimensions: int, wanted: str, stored: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert storage_for(dimensions, wanted) == stored
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == (stored != wanted)
    if warnings:
        assert f"{dimensions:,} dimensions cannot be indexed as {wanted}" in warnings[0]
        assert f"set RAG_ASSETS_INDEX_STORAGE={stored} to choose it yourself" in warnings[0]


def test_hnsw_settings_that_pgvector_refuses_are_a_usage_error(steps: Steps) -> None:
    narrow = steps.settings.model_copy(update={"hnsw_m": 80})
    with pytest.raises(UsageError, match=r"RAG_ASSETS_HNSW_EF_CONSTRUCTION is 128.*\(80\); set it to 160 or more"):
        target_space(narrow)
    assert target_space(narrow.model_copy(update={"index_method": "ivfflat"})).definition.method == "ivfflat"


def test_vectors_that_pgvector_cannot_store_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"16,001 dimensions, and pgvector holds 16,000; choose another model"):
        storage_for(16_001, "bit")


def test_space_to_check_without_a_space_names_the_command(steps: Steps) -> None:
    with pytest.raises(ServiceError, match="run rag-assets ingest first"):
        space_to_check(steps.engine, steps.target.definition)


def test_reverting_a_setting_before_the_promotion_embeds_nothing(
    steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "one" / "a.md", "The text of one.")
    steps.project("one", tmp_path / "one")
    steps.all("one")
    steps.live()
    monkeypatch.setenv("RAG_ASSETS_HNSW_M", "24")
    steps.all("one")
    monkeypatch.delenv("RAG_ASSETS_HNSW_M")
    assert steps.all("one")["embedded"] == 0
    assert not steps.live()["promoted"]
    assert steps.embedded == ["The text of one."]
