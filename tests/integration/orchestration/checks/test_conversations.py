"""Checks of messages and memories: they pass on good data, fail on damage, and ignore what is not due yet."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from sqlalchemy import Engine

from rag_assets.pipeline.audit.result import NOTHING_TO_CHECK
from rag_assets.repositories import NewMessage, SyncConversations, SyncMemories
from rag_assets.settings.settings import Settings
from tests.support.data.conversations import MONDAY, TUESDAY, add_conversation, materialize_without_checks
from tests.support.fakes import ENCODERS
from tests.support.pipeline.check_runs import Evaluations, change_database, check_metadata, failed_names
from tests.support.pipeline.runs import run

KINDS = ("message", "memory")


@pytest.fixture
def with_conversations(settings: Settings, engine: Engine) -> Engine:
    """Messages of two days and memories, embedded and indexed by runs of this installation."""
    ENCODERS.clear()
    add_conversation(engine, MONDAY, *(f"whale number {number} sings" for number in range(20)))
    add_conversation(engine, TUESDAY, "storm", "tide")
    for number in range(15):
        SyncMemories(engine).remember(f"likes tea number {number}")
    refresh()
    return engine


def refresh() -> None:
    materialize_without_checks("message_embeddings", "message_index", days=(MONDAY, TUESDAY))
    materialize_without_checks("memory_embeddings", "memory_index")


def run_named_checks(*names: str) -> Evaluations:
    """Run these checks of both kinds, or all of them; returns the evaluations by name."""
    wanted = [f"{kind}_{name}" for kind in KINDS for name in names]
    selection = [
        spec.key
        for checks in _checks()
        for spec in checks.check_specs
        if spec.name.startswith(("message_", "memory_")) and (not names or spec.name in wanted)
    ]
    result = run_checks(selection)
    return {found.check_name: found for found in result.get_asset_check_evaluations()}


def _checks() -> list[dg.AssetChecksDefinition]:
    from tests.support.pipeline.runs import fake_defs

    return list(fake_defs.asset_checks or [])  # type: ignore[arg-type]


def run_checks(keys: list[dg.AssetCheckKey]) -> dg.ExecuteInProcessResult:
    from tests.support.pipeline.runs import fake_defs

    defs = dg.Definitions(
        assets=fake_defs.assets,
        asset_checks=fake_defs.asset_checks,
        resources=fake_defs.resources,
        jobs=[dg.define_asset_job("some", selection=dg.AssetSelection.checks(*keys))],
    )
    return defs.resolve_job_def("some").execute_in_process(
        instance=dg.DagsterInstance.get(),
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


VECTORS = "(SELECT content_hash FROM rag.embeddings WHERE space_id = :space ORDER BY content_hash LIMIT 2)"
VECTOR_CHECKS = ("texts_have_vectors", "vectors_are_sound", "no_orphan_vectors", "index_valid", "index_used")


def test_damaged_vectors_and_indexes_fail_only_the_checks_of_their_kind(with_conversations: Engine) -> None:
    found = run_named_checks(*VECTOR_CHECKS)
    assert failed_names(found) == set()
    assert len(found) == 2 * len(VECTOR_CHECKS)
    assert (
        check_metadata(found, "message_texts_have_vectors")["texts"],
        check_metadata(found, "memory_index_valid")["state"],
    ) == (
        22,
        "valid",
    )

    change_database(
        with_conversations, f"DELETE FROM rag.embeddings WHERE space_id = :space AND content_hash IN {VECTORS}", space=1
    )
    change_database(
        with_conversations,
        "UPDATE rag.embeddings SET embedding = embedding * embedding "
        f"WHERE space_id = :space AND content_hash IN {VECTORS}",
        space=2,
    )
    found = run_named_checks(*VECTOR_CHECKS)
    assert failed_names(found) == {"message_texts_have_vectors", "memory_vectors_are_sound"}
    assert check_metadata(found, "message_texts_have_vectors")["missing"] == 2
    assert check_metadata(found, "memory_vectors_are_sound")["wrong_norm"] == 2

    change_database(
        with_conversations,
        "INSERT INTO rag.embeddings SELECT 1, sha256(content_hash), embedding FROM rag.embeddings "
        "WHERE space_id = 1 LIMIT 3",
    )
    change_database(with_conversations, "DROP INDEX rag.ix_embeddings_2_hnsw")
    found = run_named_checks(*VECTOR_CHECKS)
    assert failed_names(found) == {
        *("message_texts_have_vectors", "message_no_orphan_vectors"),
        *("memory_vectors_are_sound", "memory_index_valid", "memory_index_used"),
    }
    assert check_metadata(found, "message_no_orphan_vectors")["orphans"] == 3
    assert found["message_no_orphan_vectors"].description == "3 of 23 vectors belong to no message"

    refresh()
    assert failed_names(run_named_checks(*VECTOR_CHECKS)) == {"memory_vectors_are_sound"}


def test_changes_after_the_last_run_fail_no_check(with_conversations: Engine) -> None:
    conversations = SyncConversations(with_conversations)
    talk = conversations.create("today").id
    for text in ("said just now", "said and taken back"):
        conversations.append(talk, NewMessage("user", text))
    SyncMemories(with_conversations).remember("a new one")
    change_database(
        with_conversations,
        "UPDATE rag.conversation_messages SET deleted_at = now() WHERE content = 'storm'",
    )
    change_database(
        with_conversations, "UPDATE rag.memories SET expires_at = now() WHERE content = 'likes tea number 3'"
    )
    found = run_named_checks(*VECTOR_CHECKS)
    assert failed_names(found) == set()

    today = datetime.now(UTC).date()
    materialize_without_checks("message_embeddings", days=[today])
    change_database(
        with_conversations,
        "DELETE FROM rag.embeddings WHERE content_hash = sha256(convert_to('said just now', 'UTF8'))",
    )
    found = run_named_checks("texts_have_vectors")
    assert failed_names(found) == {"message_texts_have_vectors"}, "a run over that day had embedded it"


def test_days_without_a_run_fail_once_they_are_over(with_conversations: Engine) -> None:
    def say_days_ago(days: int) -> UUID:
        return add_conversation(with_conversations, _today() - timedelta(days=days), f"said {days} days ago")

    say_days_ago(0)
    say_days_ago(1)
    assert failed_names(run_named_checks("texts_have_vectors")) == set()
    say_days_ago(2)
    found = run_named_checks("texts_have_vectors")
    assert failed_names(found) == {"message_texts_have_vectors"}
    assert check_metadata(found, "message_texts_have_vectors")["missing"] == 1


def test_checks_pass_without_messages_and_memories(built: Engine) -> None:
    found = run_named_checks()
    assert len(found) == len(KINDS) * 7
    assert failed_names(found) == set()
    for kind in KINDS:
        metadata = [check_metadata(found, name) for name in found if name.startswith(kind)]
        assert metadata == [{NOTHING_TO_CHECK: f"no {kind} was ever embedded"}] * 7


def test_checks_with_nothing_to_check_succeed_if_another_fails(built: Engine) -> None:
    change_database(built, "UPDATE rag.document_chunks SET char_start = char_start + 1 WHERE chunk_index = 0")
    run("checks")
    instance = dg.DagsterInstance.get()
    keys = [spec.key for checks in _checks() for spec in checks.check_specs]
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    failed = {
        key.name for key, record in records.items() if record.status is not AssetCheckExecutionRecordStatus.SUCCEEDED
    }
    assert failed == {"offsets_reproduce_text"}


def _today() -> date:
    return datetime.now(UTC).date()
