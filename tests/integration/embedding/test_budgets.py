"""What embedding costs: recorded with the vectors, and limited for each run and month."""

from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from rag_assets.db.spaces.spaces import ensure_space
from rag_assets.db.writes.rows import EmbeddingCostRow
from rag_assets.errors import UsageError
from rag_assets.pipeline import refresh
from rag_assets.pipeline.audit.vectors import texts_have_vectors
from rag_assets.pipeline.estimate import estimate_cost
from rag_assets.pipeline.stages.batches import EmbeddingBatch
from rag_assets.pipeline.stages.prefetch import prefetch
from rag_assets.pipeline.stages.write_batch import write_batch
from rag_assets.settings.settings import load_settings
from tests.integration.embedding.conftest import RemoteSteps
from tests.support.embedding_server.behaviours import fail
from tests.support.embedding_server.server import EmbeddingServer
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import write

COSTS = "SELECT sum(tokens)::int, sum(cost) FROM rag.embedding_costs"
TEXTS = 30
WORDS = 6  # Which the server bills for each text.


@pytest.fixture
def zoo(remote: RemoteSteps, folder: Path, monkeypatch: pytest.MonkeyPatch) -> RemoteSteps:
    """Thirty texts that wait, in batches of four; a thousand words cost 1."""
    for number in range(TEXTS):
        write(folder / f"{number}.md", f"Animal number {number:03} eats {number:03} leaves.")
    for name, value in {"PRICE": "1000", "REQUEST_TEXTS": "4", "CONCURRENCY": "1"}.items():
        monkeypatch.setenv(f"RAG_ASSETS_EMBEDDING_{name}", value)
    remote.settings = load_settings()
    remote.project("zoo", folder)
    remote.documents("zoo")
    remote.chunks("zoo")
    return remote


def embed(steps: RemoteSteps, run_id: str) -> dict[str, float]:
    figures: dict[str, float] = {}
    steps.settings = load_settings()
    batches = refresh.refresh_embeddings(steps.engine, steps.settings, ["zoo"], steps.target, steps.encoder, run_id)
    for batch in prefetch(iter(batches)):
        with steps.engine.begin() as connection:
            write_batch(connection, batch, run_id)
        for name, value in batch.figures.items():
            figures[name] = figures.get(name, 0) + value
    return figures


def count_vectors(steps: RemoteSteps) -> int:
    found: int = rows(steps.engine, "SELECT count(*) FROM rag.embeddings")[0][0]
    return found


def test_a_plan_a_run_and_the_table_agree(zoo: RemoteSteps, embedding_server: EmbeddingServer) -> None:
    plan = estimate_cost(zoo.engine, zoo.settings)
    assert plan.cost == pytest.approx(plan.tokens_to_embed / 1000)
    figures = embed(zoo, "run 1")
    assert figures["billed_tokens"] == TEXTS * WORDS
    assert figures["cost"] == pytest.approx(TEXTS * WORDS / 1000)
    assert rows(zoo.engine, COSTS) == [(TEXTS * WORDS, pytest.approx(figures["cost"]))]
    assert estimate_cost(zoo.engine, zoo.settings).spent_this_month == pytest.approx(figures["cost"])
    assert "cost" not in embed(zoo, "run 2")


def test_a_budget_pauses_and_the_next_run_goes_on(
    zoo: RemoteSteps, embedding_server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_ASSETS_BUDGET_RUN", "0.1")
    assert embed(zoo, "run 1")["paused"] == 1
    done = count_vectors(zoo)
    assert 8 <= done < TEXTS
    assert done == len(embedding_server.accepted)
    [(_, cost)] = rows(zoo.engine, COSTS)
    assert cost <= 0.1
    with zoo.engine.begin() as connection:
        space = ensure_space(connection, zoo.target.definition)
    check = texts_have_vectors(zoo.engine, space)
    assert not check.passed
    assert check.metadata["missing"] == TEXTS - done
    assert f"{TEXTS - done} texts wait, since the budget of this run is spent" in check.reason
    assert "RAG_ASSETS_BUDGET_RUN=0.1; run again, or raise it" in check.reason
    # The same run, tried again, has spent its budget; another run has its own.
    assert "embedded" not in embed(zoo, "run 1") or count_vectors(zoo) - done <= 2
    while count_vectors(zoo) < TEXTS:
        before = count_vectors(zoo)
        embed(zoo, f"run after {before}")
        assert count_vectors(zoo) > before
    assert len(embedding_server.accepted) == len(set(embedding_server.accepted)) == TEXTS
    assert texts_have_vectors(zoo.engine, space).passed


def test_the_budget_of_a_month_counts_all_runs_of_the_month(zoo: RemoteSteps, monkeypatch: pytest.MonkeyPatch) -> None:
    with zoo.engine.begin() as connection:
        space = ensure_space(connection, zoo.target.definition)
        for cost, month in ((0.95, "now()"), (50, "now() - interval '40 days'")):
            connection.execute(
                text(
                    "INSERT INTO rag.embedding_costs (id, space_id, model, tokens, cost, created_at) "
                    f"VALUES (gen_random_uuid(), {space.id}, 'm', 1, {cost}, {month})"
                )
            )
    monkeypatch.setenv("RAG_ASSETS_BUDGET_MONTH", "1")
    assert embed(zoo, "run 1")["paused"] == 1
    assert 0 < count_vectors(zoo) < TEXTS
    reason = texts_have_vectors(zoo.engine, space).reason
    assert "RAG_ASSETS_BUDGET_MONTH=1; raise it, or run again next month" in reason
    monkeypatch.setenv("RAG_ASSETS_BUDGET_MONTH", "2")
    embed(zoo, "run 2")
    assert count_vectors(zoo) == TEXTS


def test_what_was_paid_before_a_failure_is_recorded(zoo: RemoteSteps, embedding_server: EmbeddingServer) -> None:
    served = iter(range(3))
    embedding_server.misbehave(lambda request: None if next(served, None) is not None else fail(401)(request))
    with pytest.raises(Exception, match="RAG_ASSETS_EMBEDDING_API_KEY"):
        embed(zoo, "run 1")
    assert rows(zoo.engine, COSTS) == [(12 * WORDS, pytest.approx(12 * WORDS / 1000))]
    assert count_vectors(zoo) == 12


def test_a_batch_that_is_written_twice_is_paid_once(zoo: RemoteSteps) -> None:
    with zoo.engine.begin() as connection:
        space = ensure_space(connection, zoo.target.definition)
        cost = EmbeddingCostRow(id=uuid4(), model="m", tokens=7, cost=0.5)
        for _ in range(2):
            write_batch(connection, EmbeddingBatch("zoo", space.id, cost=cost), "run 1")
    assert rows(zoo.engine, COSTS) == [(7, 0.5)]


def test_a_budget_needs_a_price(zoo: RemoteSteps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_ASSETS_BUDGET_RUN", "1")
    monkeypatch.setenv("RAG_ASSETS_EMBEDDING_PRICE", "openai:another=0.1")
    with pytest.raises(UsageError, match=r"BUDGET_RUN is set, but not what openai:nobody-knows costs"):
        embed(zoo, "run 1")


@pytest.mark.parametrize("value", ["free", "-1", "openai:x=", "nan", "inf"])
def test_a_wrong_price_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_ASSETS_EMBEDDING_PRICE", value)
    with pytest.raises(UsageError, match="is no price of a million tokens"):
        load_settings()
