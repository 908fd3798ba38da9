"""Texts at the batch interface of an embedding server: submitted by one run, fetched by a later one, never twice."""

import os
import signal
from collections import Counter
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine, create_engine, text

from rag_assets.db.spaces.spaces import ensure_space
from rag_assets.definitions import defs
from rag_assets.errors import RefusedError, ServiceError, UsageError
from rag_assets.orchestration.resources.embedder import Embedder
from rag_assets.orchestration.resources.postgres import Postgres
from rag_assets.pipeline.audit.promotion import serves_wanted_space
from rag_assets.pipeline.audit.vectors import texts_have_vectors
from rag_assets.pipeline.estimate import estimate_cost
from rag_assets.pipeline.status import read_status
from rag_assets.settings.settings import load_settings
from tests.integration.embedding.conftest import RemoteSteps
from tests.integration.embedding.test_budgets import embed
from tests.support.embedding_server.behaviours import delay, fail
from tests.support.embedding_server.messages import Answer, Request
from tests.support.embedding_server.server import Behaviour, EmbeddingServer
from tests.support.pipeline.runs import SENSORS, rows
from tests.support.pipeline.stages import write

TEXTS = 12
WORDS = 6
BATCHES = "SELECT status, texts, error FROM rag.remote_batches ORDER BY created_at"


@pytest.fixture
def zoo(remote: RemoteSteps, folder: Path, monkeypatch: pytest.MonkeyPatch) -> RemoteSteps:
    for number in range(TEXTS):
        write(folder / f"{number}.md", f"Animal number {number:03} eats {number:03} leaves.")
    settings = {"BATCH": "true", "PRICE": "1000", "RETRY_S": "2", "BATCH_TEXTS": "5"}
    for name, value in settings.items():
        monkeypatch.setenv(f"RAG_ASSETS_EMBEDDING_{name}", value)
    remote.settings = load_settings()
    remote.project("zoo", folder)
    remote.documents("zoo")
    remote.chunks("zoo")
    return remote


def count_vectors(steps: RemoteSteps) -> int:
    found: int = rows(steps.engine, "SELECT count(*) FROM rag.embeddings")[0][0]
    return found


def statuses(steps: RemoteSteps) -> Counter[str]:
    return Counter(status for status, _, _ in rows(steps.engine, BATCHES))


def spent(steps: RemoteSteps) -> float:
    return float(rows(steps.engine, "SELECT coalesce(sum(cost), 0) FROM rag.embedding_costs")[0][0])


def once(step: str, behaviour: Behaviour) -> Behaviour:
    """The behaviour for requests of this step."""
    return lambda request: behaviour(request) if request.step == step else None


def test_a_run_submits_and_a_later_one_fetches(zoo: RemoteSteps, embedding_server: EmbeddingServer) -> None:
    figures = embed(zoo, "run 1")
    assert (figures["submitted"], figures["embedded"], count_vectors(zoo)) == (TEXTS, 0, 0)
    assert rows(zoo.engine, BATCHES) == [("submitted", 5, None), ("submitted", 5, None), ("submitted", 2, None)]
    # Another run while the server works: nothing is submitted again.
    assert "submitted" not in embed(zoo, "run 2")
    zoo.index()
    waiting = zoo.live()
    assert (waiting["promoted"], waiting["texts_in_batches"]) == (False, TEXTS)
    with zoo.engine.begin() as connection:
        space = ensure_space(connection, zoo.target.definition)
    for check in (texts_have_vectors(zoo.engine, space), serves_wanted_space(zoo.engine, space.fingerprint)):
        assert (check.passed, check.warning) == (False, True)
        assert f"{TEXTS} wait in batches at the embedding server" in check.reason
    plan = estimate_cost(zoo.engine, zoo.settings)
    assert (plan.texts_to_embed, plan.texts_in_batches, plan.cost) == (0, TEXTS, 0)
    status = read_status(zoo.engine)
    assert (status["pending"]["texts_to_embed"], status["pending"]["texts_in_batches"]) == (TEXTS, TEXTS)
    assert [(each["status"], each["texts"]) for each in status["batches"]] == [("submitted", n) for n in (5, 5, 2)]

    embedding_server.batches.complete()
    figures = embed(zoo, "run 3")
    assert (figures["embedded"], figures["billed_tokens"]) == (TEXTS, TEXTS * WORDS)
    assert figures["reused"] == 0
    assert statuses(zoo) == {"fetched": 3}
    zoo.index()
    assert zoo.live()["promoted"]
    assert texts_have_vectors(zoo.engine, space).passed
    assert sorted(embedding_server.batches.sent) == sorted(set(embedding_server.batches.sent))
    assert embedding_server.accepted == []
    # What the server does not need any more is deleted there.
    assert embedding_server.batches.files == {}
    assert rows(zoo.engine, "SELECT count(*) FROM rag.remote_batch_texts") == [(0,)]
    assert read_status(zoo.engine)["pending"]["texts_in_batches"] == 0


def test_batches_cost_half_and_are_settled_by_what_was_billed(
    zoo: RemoteSteps, embedding_server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = estimate_cost(zoo.engine, zoo.settings)
    assert plan.cost == pytest.approx(plan.tokens_to_embed / 2000)
    embed(zoo, "run 1")
    assert spent(zoo) == pytest.approx(plan.cost), "reserved"
    embedding_server.batches.complete()
    embed(zoo, "run 2")
    assert spent(zoo) == pytest.approx(TEXTS * WORDS / 2000), "billed"
    monkeypatch.setenv("RAG_ASSETS_EMBEDDING_BATCH_PRICE", "100")
    assert load_settings().price_of("openai:nobody-knows", in_batch=True) == 100
    assert load_settings().price_of("openai:nobody-knows") == 1000


def test_a_budget_pauses_what_is_submitted(
    zoo: RemoteSteps, embedding_server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_ASSETS_BUDGET_RUN", "0.04")
    figures = embed(zoo, "run 1")
    assert figures["paused"] == 1
    assert 0 < figures["submitted"] < TEXTS
    assert spent(zoo) <= 0.04
    for run in range(2, 9):
        embedding_server.batches.complete()
        embed(zoo, f"run {run}")
    assert count_vectors(zoo) == TEXTS
    assert len(embedding_server.batches.sent) == TEXTS


def test_refused_texts_are_asked_for_at_once_and_the_rest_is_stored(
    zoo: RemoteSteps, embedding_server: EmbeddingServer, folder: Path
) -> None:
    embed(zoo, "run 1")
    embedding_server.batches.complete(refuse="number 003")
    figures = embed(zoo, "run 2")
    # The direct request for the refused text succeeds here.
    assert count_vectors(zoo) == TEXTS
    assert figures["embedded"] == TEXTS
    assert embedding_server.accepted[0] == "Animal number 003 eats 003 leaves."
    assert rows(zoo.engine, "SELECT count(*) FROM rag.embedding_failures") == [(0,)]


def test_expired_texts_are_submitted_again_and_deleted_ones_are_dropped(
    zoo: RemoteSteps, embedding_server: EmbeddingServer, folder: Path
) -> None:
    embed(zoo, "run 1")
    (folder / "7.md").unlink()
    zoo.documents("zoo")
    embedding_server.batches.complete(lose="number 00", status="expired")
    figures = embed(zoo, "run 2")
    assert (figures["embedded"], figures["submitted"]) == (2, TEXTS - 3)
    assert statuses(zoo) == {"expired": 3, "submitted": 2}
    embedding_server.batches.complete()
    embed(zoo, "run 3")
    assert count_vectors(zoo) == TEXTS - 1
    assert not [sent for sent in embedding_server.batches.sent[TEXTS:] if "007" in sent]


def test_a_failed_batch_fails_the_run_with_its_reason_and_the_next_one_submits_again(
    zoo: RemoteSteps, embedding_server: EmbeddingServer
) -> None:
    embed(zoo, "run 1")
    embedding_server.batches.complete(status="failed", error={"code": "bad", "message": "the model is not for batches"})
    with pytest.raises(ServiceError, match="the model is not for batches"):
        embed(zoo, "run 2")
    assert statuses(zoo) == {"failed": 3}
    assert spent(zoo) == 0
    assert embed(zoo, "run 3")["submitted"] == TEXTS


def test_a_full_queue_is_waited_for(zoo: RemoteSteps, embedding_server: EmbeddingServer) -> None:
    embed(zoo, "run 1")
    error = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}
    embedding_server.batches.complete(status="failed", error=error)
    assert "submitted" not in embed(zoo, "run 2")
    assert embed(zoo, "run 3")["submitted"] == TEXTS


def test_a_server_that_stumbles_is_asked_again(zoo: RemoteSteps, embedding_server: EmbeddingServer) -> None:
    for behaviour in (
        once("upload", fail(429, "slow down", Retry_After="0")),
        once("create", fail(429, "slow down", Retry_After="0")),
        once("upload", fail(500, Retry_After="0")),
        once("get", fail(503, Retry_After="0")),
        once("download", fail(502, Retry_After="0")),
        once("download", lambda request: Answer(content=b'{"custom_id": "00')),
    ):
        embedding_server.misbehave(behaviour, times=1)
    assert embed(zoo, "run 1")["submitted"] == TEXTS
    embedding_server.batches.complete()
    assert embed(zoo, "run 2")["embedded"] == TEXTS
    assert len(embedding_server.batches.sent) == TEXTS


def test_a_batch_that_the_server_accepted_without_saying_so_is_found_again(
    zoo: RemoteSteps, embedding_server: EmbeddingServer
) -> None:
    def lose_answer(request: Request) -> Answer:
        embedding_server.batches.answer(request)
        return Answer(reset=True)

    embedding_server.misbehave(once("create", lose_answer), times=1)
    with pytest.raises(ServiceError, match="run again later, which goes on"):
        embed(zoo, "run 1")
    assert statuses(zoo) == {"submitting": 1}
    assert embed(zoo, "run 2")["submitted"] == TEXTS - 5
    assert statuses(zoo) == {"submitted": 3}
    assert len(embedding_server.batches.sent) == TEXTS


def test_a_server_without_the_interface_and_models_without_one(
    zoo: RemoteSteps, embedding_server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedding_server.misbehave(once("upload", fail(404)))
    with pytest.raises(RefusedError, match="; unset RAG_ASSETS_EMBEDDING_BATCH"):
        embed(zoo, "run 1")
    assert rows(zoo.engine, BATCHES) == []
    assert spent(zoo) == 0
    monkeypatch.setenv("RAG_ASSETS_EMBEDDING_BATCH", "false")
    assert embed(zoo, "run 2")["embedded"] == TEXTS
    monkeypatch.setenv("RAG_ASSETS_EMBEDDING_BATCH", "true")
    monkeypatch.setenv("RAG_ASSETS_MODEL", "voyage:nobody-knows")
    with pytest.raises(UsageError, match="models of openai: alone, not for voyage:nobody-knows"):
        embed(zoo, "run 3")


def test_open_batches_are_fetched_after_the_setting_is_gone(
    zoo: RemoteSteps, embedding_server: EmbeddingServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(zoo, "run 1")
    monkeypatch.setenv("RAG_ASSETS_EMBEDDING_BATCH", "false")
    write(folder / "new.md", "Animal number new eats new leaves.")
    zoo.documents("zoo")
    zoo.chunks("zoo")
    embed(zoo, "run 2")
    assert embedding_server.accepted == ["Animal number new eats new leaves."]
    embedding_server.batches.complete()
    embed(zoo, "run 3")
    assert count_vectors(zoo) == TEXTS + 1
    assert len(embedding_server.accepted) == 1


@pytest.mark.parametrize(
    ("step", "acted", "number"),
    [
        ("upload", False, 2),
        ("upload", True, 1),
        ("create", False, 1),
        ("create", True, 2),
        ("get", False, 2),
        ("download", False, 2),
        ("delete", True, 1),
    ],
)
def test_a_kill_at_any_moment_converges(
    zoo: RemoteSteps, embedding_server: EmbeddingServer, step: str, acted: bool, number: int
) -> None:
    """The process is killed before, or after, the server acts on its request of this number."""
    child = 0

    def kill(request: Request) -> Answer:
        if acted:
            embedding_server.batches.answer(request)
        os.kill(child, signal.SIGKILL)
        return Answer(reset=True)

    if step not in ("upload", "create"):
        embed(zoo, "run 1")
        embedding_server.batches.complete(refuse="number 001")
    calls = iter(range(1, 99))
    embedding_server.behaviours[:] = [once(step, lambda request: kill(request) if next(calls) == number else None)]
    child = run_in_child(zoo)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    embedding_server.behaviours.clear()
    for run in range(2):
        embed(zoo, f"run after {run}")
        embedding_server.batches.complete()
    embed(zoo, "last run")
    assert count_vectors(zoo) == TEXTS
    assert statuses(zoo).keys() == {"fetched"}
    assert len(embedding_server.batches.sent) == TEXTS, "no text was submitted twice"
    assert rows(zoo.engine, "SELECT count(*) FROM rag.remote_batch_texts") == [(0,)]
    assert spent(zoo) <= (TEXTS * WORDS + WORDS) / 1000


def run_in_child(zoo: RemoteSteps) -> int:
    """Embed in a forked process, which is killed on the way; returns its id."""
    child = os.fork()
    if child:
        return child
    try:
        engine: Engine = create_engine(zoo.engine.url)
        embed(RemoteSteps(engine, zoo.settings), "killed")
    finally:
        os._exit(0)


def test_two_processes_submit_each_text_once(zoo: RemoteSteps, embedding_server: EmbeddingServer) -> None:
    embedding_server.misbehave(delay(0.05))
    children = [run_in_child(zoo) for _ in range(2)]
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert sorted(embedding_server.batches.sent) == sorted(set(embedding_server.batches.sent))
    assert len(embedding_server.batches.sent) == TEXTS
    with zoo.engine.connect() as connection:
        assert connection.scalar(text("SELECT sum(texts) FROM rag.remote_batches")) == TEXTS


def test_the_sensor_refreshes_the_projects_whose_batches_have_ended(
    zoo: RemoteSteps, embedding_server: EmbeddingServer
) -> None:
    instance = dg.DagsterInstance.get()
    instance.add_dynamic_partitions("projects", ["other", "zoo"])
    embed(zoo, "run 1")
    resources = {"postgres": Postgres(), "embedder": Embedder()}
    sensor = SENSORS["finished_batches"]

    def tick() -> list[tuple[str | None, str | None]]:
        with (
            dg.partition_loading_context(dynamic_partitions_store=instance),
            dg.build_sensor_context(
                instance=instance, resources=resources, repository_def=defs.get_repository_def()
            ) as context,
        ):
            found = sensor.evaluate_tick(context).run_requests or []
        return [(request.partition_key, request.run_key) for request in found]

    assert tick() == []
    embedding_server.batches.complete()
    ids = [str(id_) for (id_,) in rows(zoo.engine, "SELECT id FROM rag.remote_batches ORDER BY created_at, id")]
    # One run for each batch: Dagster starts a run of one key only once.
    assert tick() == [("zoo", f"batch {id_} zoo zoo") for id_ in ids]
    embed(zoo, "run 2")
    assert tick() == []
