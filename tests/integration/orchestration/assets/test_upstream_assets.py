"""Assets of the user as sources of projects: lineage, loading, and what is embedded."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from sqlalchemy import Engine

from rag_assets import build_definitions
from rag_assets.orchestration.resources.postgres import Postgres
from rag_assets.settings.settings import Settings
from tests.support.fakes import ENCODERS, FakeEmbedder
from tests.support.pipeline.runs import rows

TABLE = {"id": [1, 2, 3], "text": ["one", "two", "three"], "price": [1.5, 2, float("nan")]}


def location(table: dict[str, list[Any]]) -> tuple[dg.Definitions, dg.AssetsDefinition, dg.AssetsDefinition]:
    @dg.asset(key=["shop", "items"])
    def items() -> pd.DataFrame:
        return pd.DataFrame(table)

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["de", "fr"]))
    def pages(context: dg.AssetExecutionContext) -> list[dict[str, Any]]:
        return [{"id": "home", "text": f"the page of {context.partition_key}", "metadata": {"lang": "x"}}]

    ours = build_definitions(
        key_prefix="docs",
        upstream={"items": "shop/items", "pages-de": {"asset": pages, "partition": "de"}},
        resources={"embedder": FakeEmbedder()},
    )
    return dg.Definitions.merge(dg.Definitions(assets=[items, pages]), ours), items, pages


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def run(defs: dg.Definitions, instance: dg.DagsterInstance, key: str) -> dg.ExecuteInProcessResult:
    names = ("raw_documents", "chunks", "embeddings")
    return defs.resolve_job_def("docs_ingest").execute_in_process(
        instance=instance,
        partition_key=key,
        asset_selection=[dg.AssetKey(["docs", name]) for name in names],
        raise_on_error=False,
    )


def test_the_rows_of_an_asset_are_the_documents_of_a_project(
    settings: Settings, engine: Engine, instance: dg.DagsterInstance
) -> None:
    ENCODERS.clear()
    defs, items, _ = location(TABLE)
    graph = defs.resolve_asset_graph()
    parents = {key.to_user_string() for key in graph.get(dg.AssetKey(["docs", "raw_documents"])).parent_keys}
    assert parents == {"shop/items", "pages"}

    def tick(name: str, cursor: str | None = None) -> Any:
        with (
            dg.partition_loading_context(dynamic_partitions_store=instance),
            dg.build_sensor_context(
                instance=instance,
                cursor=cursor,
                resources={"docs_postgres": Postgres()},
                repository_def=defs.get_repository_def(),
            ) as context,
        ):
            return defs.resolve_sensor_def(name).evaluate_tick(context)

    (added,) = tick("docs_project_partitions").dynamic_partitions_requests
    assert sorted(added.partition_keys) == ["items", "pages-de"]
    instance.add_dynamic_partitions("docs_projects", added.partition_keys)
    assert tick("docs_changed_upstreams").run_requests == []

    # Before it was materialized, the project fails with a sentence.
    failed = run(defs, instance, "items")
    assert not failed.success
    errors = rows(engine, "SELECT error FROM rag.project_failures")
    assert "the asset shop/items cannot be loaded" in errors[0][0]

    assert dg.materialize([items], instance=instance).success
    first = tick("docs_changed_upstreams")
    assert [request.partition_key for request in first.run_requests] == ["items"]
    assert tick("docs_changed_upstreams", first.cursor).run_requests == []
    assert run(defs, instance, "items").success
    stored = "SELECT file_path, content, metadata FROM rag.documents ORDER BY file_path"
    assert rows(engine, stored) == [
        ("1", "one", {"price": 1.5}),
        ("2", "two", {"price": 2}),
        ("3", "three", {"price": None}),
    ]
    assert rows(engine, "SELECT count(*) FROM rag.embeddings") == [(3,)]

    # A changed column of metadata embeds nothing.
    changed, items, _ = location({**TABLE, "price": [9, 2, 3], "text": ["one", "two", "four"]})
    assert dg.materialize([items], instance=instance).success
    assert run(changed, instance, "items").success
    assert rows(engine, stored)[0] == ("1", "one", {"price": 9})
    assert sorted(text for encoder in ENCODERS.values() for text in encoder.embedded) == ["four", "one", "three", "two"]


def test_a_partition_of_an_asset_is_a_project(settings: Settings, engine: Engine, instance: dg.DagsterInstance) -> None:
    defs, _, pages = location(TABLE)
    instance.add_dynamic_partitions("docs_projects", ["pages-de"])
    for key in ("de", "fr"):
        assert dg.materialize([pages], instance=instance, partition_key=key).success
    assert run(defs, instance, "pages-de").success
    assert rows(engine, "SELECT file_path, content, metadata FROM rag.documents") == [
        ("home", "the page of de", {"lang": "x"})
    ]
