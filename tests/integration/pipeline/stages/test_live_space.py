"""The live space: automatic and manual promotion, rollback, holding back, retention and retirement."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from rag_assets.db.spaces.partitions import partition_name
from rag_assets.db.spaces.retention import get_previous_space, retire_space
from rag_assets.db.spaces.spaces import SpaceDefinition, get_live_space
from rag_assets.errors import IntegrityError, ServiceError, UsageError
from rag_assets.pipeline.audit import latency
from rag_assets.pipeline.audit.promotion import serves_wanted_space
from rag_assets.pipeline.stages import live_space as flip
from rag_assets.pipeline.target.wanted_space import space_to_check, target_space
from rag_assets.search.retriever import Retriever
from rag_assets.settings.settings import load_settings
from tests.support.fakes import HashEncoder
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import Steps, write

STATUS = "SELECT id, status FROM rag.embedding_spaces ORDER BY id"
CHUNKINGS = "SELECT count(DISTINCT chunking) FROM rag.document_chunks"
ANIMALS = (
    "zebra",
    "whale",
    "lion",
    "giraffe",
    "otter",
    "heron",
    "beaver",
    "camel",
    "badger",
    "puffin",
    "tapir",
    "gecko",
)


@pytest.fixture
def zoo(steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of twelve documents in live space 1; the latency check runs on few vectors."""
    monkeypatch.setattr(latency, "MEASURED_VECTORS", 50)
    for animal in ANIMALS:
        write(tmp_path / "zoo" / f"{animal}.md", f"The {animal} of the zoo.\n\n# Food\n\nA {animal} eats leaves.")
    steps.project("zoo", tmp_path / "zoo")
    ingest(steps)
    assert statuses(steps) == {1: "live"}
    return tmp_path / "zoo"


def ingest(steps: Steps) -> dict[str, Any]:
    """Do what a run of the job does, with the settings of the environment."""
    steps.settings = load_settings()
    steps.all("zoo")
    return steps.live()


def statuses(steps: Steps) -> dict[int, str]:
    return dict(rows(steps.engine, STATUS))


def wanted_definition(kind: Any) -> SpaceDefinition:
    return target_space(load_settings(), kind).definition


def promote(steps: Steps, space: int, *, force: bool = False) -> flip.Promotion:
    return flip.promote_space(steps.engine, load_settings(), space, wanted_definition, steps.encoder, force=force)


def search(steps: Steps, query: str, **options: Any) -> tuple[int, list[str]]:
    answer = Retriever(steps.engine, encoder=steps.encoder).search(query, **options)
    return answer.space, [hit.file_path for hit in answer.hits]


def backdate_step_back(steps: Steps, space: int, days: int) -> None:
    with steps.engine.begin() as connection:
        connection.execute(
            text("UPDATE rag.embedding_spaces SET stepped_back_at = now() - :days * interval '1 day' WHERE id = :id"),
            {"days": days, "id": space},
        )


@pytest.fixture
def promoted(steps: Steps, zoo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Space 2, with other chunks, is live; space 1 is the previous one."""
    monkeypatch.setenv("RAG_ASSETS_CHUNK_TOKENS", "16")
    assert ingest(steps)["promoted"]
    assert statuses(steps) == {1: "previous", 2: "live"}
    return zoo


def test_documents_added_after_the_promotion_are_found_after_a_rollback(steps: Steps, promoted: Path) -> None:
    write(promoted / "yak.md", "The yak came yesterday.")
    (promoted / "heron.md").unlink()
    ingest(steps)
    done = flip.roll_back(steps.engine)
    assert (done.promoted, done.space.id, done.live_before and done.live_before.id) == (True, 1, 2)
    assert done.seconds < 1
    assert statuses(steps) == {1: "live", 2: "previous"}
    for mode in ("vector", "text", "hybrid"):
        space, paths = search(steps, "yak came", mode=mode)
        assert (space, paths[0]) == (1, "yak.md")
        assert "heron.md" not in paths
    [(count,)] = rows(steps.engine, "SELECT count(*) FROM rag.live_chunks WHERE source = 'yak.md'")
    assert count == 1


def test_runs_hold_a_rolled_back_space_until_it_is_promoted_manually(steps: Steps, promoted: Path) -> None:
    flip.roll_back(steps.engine)
    for _ in range(2):
        figures = ingest(steps)
        assert (figures["space"], figures["promoted"], figures["held_back_space"]) == (1, False, 2)
    assert statuses(steps) == {1: "live", 2: "previous"}
    # The rollback was deliberate: the checks pass, and they check the live space.
    assert space_to_check(steps.engine, wanted_definition("chunks")).id == 1
    check = serves_wanted_space(steps.engine, wanted_definition("chunks").fingerprint)
    assert (check.passed, check.metadata["is_wanted"], check.metadata["held_back"]) == (True, False, 2)
    # The held-back space is kept up to date, so that it can be promoted immediately.
    write(promoted / "yak.md", "The yak came yesterday.")
    ingest(steps)
    assert promote(steps, 2).space.id == 2
    assert search(steps, "yak came")[1][0] == "yak.md"
    assert "held_back_space" not in ingest(steps)
    assert statuses(steps) == {1: "previous", 2: "live"}


def test_changed_settings_are_promoted_after_a_rollback(
    steps: Steps, promoted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip.roll_back(steps.engine)
    ingest(steps)
    monkeypatch.delenv("RAG_ASSETS_CHUNK_TOKENS")
    assert ingest(steps)["space"] == 1
    monkeypatch.setenv("RAG_ASSETS_CHUNK_TOKENS", "16")
    assert ingest(steps)["promoted"]
    assert statuses(steps) == {1: "previous", 2: "live"}


def test_a_rollback_during_a_run_is_not_undone_by_the_run(
    steps: Steps, promoted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock_live_space = flip._lock_live_space

    def lock_after_rollback(connection: Connection, kind: str) -> Any:
        # Roll back between the checks of the run and its promotion.
        monkeypatch.setattr(flip, "_lock_live_space", lock_live_space)
        flip.roll_back(steps.engine)
        return lock_live_space(connection, kind)

    monkeypatch.setattr(flip, "_lock_live_space", lock_after_rollback)
    figures = steps.live()
    assert (figures["space"], figures["promoted"]) == (1, False)
    assert statuses(steps) == {1: "live", 2: "previous"}


def test_a_manual_promotion_holds_the_configured_space_back(steps: Steps, promoted: Path) -> None:
    assert promote(steps, 1).promoted
    assert not promote(steps, 1).promoted
    assert ingest(steps)["held_back_space"] == 2
    assert statuses(steps) == {1: "live", 2: "previous"}


def test_rollbacks_alternate_between_two_kept_spaces(steps: Steps, promoted: Path) -> None:
    for live in (1, 2, 1, 2):
        assert flip.roll_back(steps.engine).space.id == live
        assert search(steps, "zebra")[0] == live


def test_an_expired_previous_space_is_dropped_with_its_chunks(steps: Steps, promoted: Path) -> None:
    backdate_step_back(steps, 1, 6)
    assert ingest(steps)["spaces_dropped"] == 0
    assert rows(steps.engine, CHUNKINGS) == [(2,)]
    backdate_step_back(steps, 1, 8)
    assert ingest(steps)["spaces_dropped"] == 1
    assert statuses(steps) == {2: "live"}
    assert rows(steps.engine, CHUNKINGS) == [(1,)]
    assert rows(steps.engine, "SELECT to_regclass('rag.embeddings_1')") == [(None,)]
    with pytest.raises(UsageError, match="nothing to roll back to"):
        flip.roll_back(steps.engine)


def test_the_previous_space_is_dropped_immediately_with_zero_days(
    steps: Steps, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_ASSETS_PREVIOUS_SPACE_DAYS", "0")
    monkeypatch.setenv("RAG_ASSETS_CHUNK_TOKENS", "16")
    figures = ingest(steps)
    assert (figures["promoted"], figures["spaces_dropped"]) == (True, 1)
    assert statuses(steps) == {2: "live"}
    assert rows(steps.engine, CHUNKINGS) == [(1,)]


def test_a_third_space_drops_the_first(steps: Steps, promoted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_ASSETS_CHUNK_TOKENS", "20")
    assert ingest(steps)["promoted"]
    assert statuses(steps) == {2: "previous", 3: "live"}


def test_a_retirement_that_was_killed_half_way_is_finished_by_the_next_one(steps: Steps, promoted: Path) -> None:
    with steps.engine.begin() as connection:
        # It was retired, and neither its chunks nor its vectors are removed yet.
        retire_space(connection, 1)
    assert rows(steps.engine, CHUNKINGS) == [(2,)]
    assert flip.drop_space(steps.engine, steps.settings, 1).id == 1
    assert statuses(steps) == {2: "live"}
    assert rows(steps.engine, CHUNKINGS) == [(1,)]


def test_a_rolled_back_and_retired_space_is_not_rebuilt_until_it_is_promoted(
    steps: Steps, promoted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip.roll_back(steps.engine)
    assert flip.drop_space(steps.engine, steps.settings, 2).id == 2
    assert rows(steps.engine, CHUNKINGS) == [(1,)]
    before = len(steps.embedded)
    assert (ingest(steps)["space"], ingest(steps)["spaces_dropped"]) == (1, 0)
    assert (statuses(steps), len(steps.embedded)) == ({1: "live", 2: "retired"}, before)
    with pytest.raises(IntegrityError, match="space 2 was retired, and its vectors are gone; it is no longer held"):
        promote(steps, 2)
    assert ingest(steps)["promoted"]
    assert statuses(steps) == {1: "previous", 2: "live"}


def test_failed_checks_are_listed_and_can_be_overridden(
    steps: Steps, promoted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with steps.engine.begin() as connection:
        connection.execute(text("DELETE FROM rag.embeddings WHERE space_id = 1 AND get_byte(content_hash, 0) < 128"))
    monkeypatch.setenv("RAG_ASSETS_LATENCY_LIMIT_MS", "0.001")
    with pytest.raises(
        IntegrityError, match=r"space 1 .* texts_have_vectors: \d+ of .*; search_latency: p95 .*in space 2;.*--force"
    ):
        promote(steps, 1)
    assert statuses(steps)[2] == "live"
    assert promote(steps, 1, force=True).overridden.keys() == {"texts_have_vectors", "search_latency"}
    assert statuses(steps)[1] == "live"


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        ("DROP INDEX rag.ix_embeddings_1_hnsw", "index_valid"),
        ("DELETE FROM rag.embeddings WHERE space_id = 1", "texts_have_vectors: it holds no vectors at all"),
    ],
)
def test_a_space_that_cannot_be_searched_cannot_be_forced(
    steps: Steps, promoted: Path, damage: str, check: str
) -> None:
    with steps.engine.begin() as connection:
        connection.execute(text(damage))
    with pytest.raises(IntegrityError, match=f"{check}.*cannot be forced"):
        promote(steps, 1, force=True)
    assert statuses(steps)[2] == "live"


def test_a_rollback_to_a_space_without_its_index_is_refused(steps: Steps, promoted: Path) -> None:
    with steps.engine.begin() as connection:
        connection.execute(text("DROP INDEX rag.ix_embeddings_1_hnsw"))
    with pytest.raises(IntegrityError, match="the index of space 1 is absent, so searches stay in space 2"):
        flip.roll_back(steps.engine)
    ingest(steps)
    assert flip.roll_back(steps.engine).promoted


def test_unknown_and_live_spaces_cannot_be_retired(steps: Steps, zoo: Path) -> None:
    with pytest.raises(UsageError, match="space 1 is live, and searches need it"):
        flip.drop_space(steps.engine, steps.settings, 1)
    for call in (lambda: flip.drop_space(steps.engine, steps.settings, 9), lambda: promote(steps, 9)):
        with pytest.raises(UsageError, match="there is no space 9; spaces that exist: 1"):
            call()
    with pytest.raises(UsageError, match="nothing to roll back to"):
        flip.roll_back(steps.engine)


def test_a_space_that_a_run_writes_to_is_not_dropped(steps: Steps, promoted: Path) -> None:
    from rag_assets.db.locks import hold_lock

    settings = steps.settings.model_copy(update={"lock_wait_s": 0.2})
    with hold_lock(steps.engine, "vectors of space 1", wait_s=1, shared=True):
        with pytest.raises(ServiceError, match="vectors of space 1 has been locked by"):
            flip.drop_space(steps.engine, settings, 1)
        backdate_step_back(steps, 1, 8)
        # A run does not wait for the lock; the next run drops the space.
        with steps.engine.begin() as connection:
            assert get_previous_space(connection) is not None
        assert steps.live()["spaces_dropped"] == 0
    assert steps.live()["spaces_dropped"] == 1


def test_a_live_space_without_its_model_does_not_prevent_a_promotion(
    steps: Steps, zoo: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with steps.engine.begin() as connection:
        connection.execute(text("UPDATE rag.embedding_spaces SET model = 'nobody/has-this', fingerprint = 'old'"))
    write(zoo / "yak.md", "The yak came yesterday.")
    assert ingest(steps)["promoted"]
    assert "the live space 1 is not kept up to date: cannot load the model 'nobody/has-this'" in caplog.text
    assert search(steps, "yak came")[1][0] == "yak.md"


def set_evaluation_queries(steps: Steps, folder: Path, **lines: str) -> None:
    """Set the evaluation queries of the project: each query with the path that it must find."""
    file = folder.parent / "questions.jsonl"
    judged = [{"query": words.replace("_", " "), "relevant": {path: 1}} for words, path in lines.items()]
    file.write_text("\n".join(map(json.dumps, judged)))
    steps.project("zoo", folder, questions=str(file))


def test_a_space_with_worse_search_quality_is_not_promoted(
    steps: Steps, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_evaluation_queries(steps, zoo, **{f"a_{animal}_eats": f"{animal}.md" for animal in ANIMALS})
    monkeypatch.setenv("RAG_ASSETS_HNSW_M", "24")
    steps.settings = load_settings()
    steps.all("zoo")

    class OppositeEncoder(HashEncoder):
        """Query vectors point in the opposite direction of the stored vectors."""

        def encode_query(self, text: str) -> Any:
            return -super().encode_query(text)

    steps.encoders[2] = OppositeEncoder()
    message = r"answers_no_worse: zoo: ndcg@10 of its evaluation queries is 0\.\d+, but \d\.\d+ in the live space"
    with pytest.raises(IntegrityError, match=message):
        steps.live()
    assert statuses(steps) == {1: "live", 2: "building"}
    with pytest.raises(IntegrityError, match=message):
        promote(steps, 2)
    steps.settings = steps.settings.model_copy(update={"quality_tolerance": 1.0})
    assert steps.live()["promoted"]


def test_unreadable_evaluation_queries_prevent_a_promotion(
    steps: Steps, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_evaluation_queries(steps, zoo, a_zebra_eats="zebra.md")
    (zoo.parent / "questions.jsonl").unlink()
    monkeypatch.setenv("RAG_ASSETS_HNSW_M", "24")
    with pytest.raises(IntegrityError, match=r"answers_no_worse: zoo: .*cannot be read"):
        ingest(steps)
    set_evaluation_queries(steps, zoo, a_zebra_eats="zebra.md", leaves="lion.md")
    assert ingest(steps)["promoted"]


def test_searches_find_only_chunks_of_the_live_space_at_every_step(
    steps: Steps, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def assert_only_live_chunks(space: int) -> None:
        with steps.engine.connect() as connection:
            live = get_live_space(connection)
        assert live is not None
        space_chunks = {
            id_
            for (id_,) in rows(
                steps.engine,
                f"SELECT c.id FROM rag.document_chunks c JOIN rag.{partition_name(space)} e USING (content_hash) "
                "WHERE c.chunking = :chunking",
                chunking=live.chunking,
            )
        }
        for mode in ("vector", "text", "hybrid"):
            answer = Retriever(steps.engine, encoder=steps.encoder).search("zoo leaves", mode=mode, k=100)
            assert answer.space == space == live.id
            ids = {hit.chunk_id for hit in answer.hits}
            assert ids
            assert ids <= space_chunks
            assert ids == space_chunks or mode == "text"
        view_chunks = {id_ for (id_,) in rows(steps.engine, "SELECT id FROM rag.live_chunks")}
        assert view_chunks == space_chunks

    assert_only_live_chunks(1)
    monkeypatch.setenv("RAG_ASSETS_CHUNK_TOKENS", "16")
    steps.settings = load_settings()
    for step in (steps.chunks, steps.embeddings):
        step("zoo")
        assert_only_live_chunks(1)
    steps.index()
    assert_only_live_chunks(1)
    steps.live()
    assert_only_live_chunks(2)
    flip.roll_back(steps.engine)
    assert_only_live_chunks(1)
    ingest(steps)
    assert_only_live_chunks(1)
