"""Assets follow their upstreams: no update is lost, and one broken partition keeps nobody waiting."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from rag_assets.definitions import defs
from rag_assets.orchestration.assets.conditions import FOLLOWS_PARTITIONS, FOLLOWS_UPSTREAM
from rag_assets.orchestration.automation.jobs import INGEST_ASSETS
from rag_assets.orchestration.automation.run_requests import refresh_requests
from rag_assets.orchestration.partitions import projects
from rag_assets.orchestration.scope import PipelineScope
from tests.support.dagster_homes import SHIPPED_CONFIG, needs_custom_storage


def _made(run: dg.DagsterRun, made: dg.AssetMaterialization) -> Any:
    from dagster._core.events import DagsterEvent, DagsterEventType, StepMaterializationData
    from dagster._core.events.log import EventLogEntry

    kind = DagsterEventType.ASSET_MATERIALIZATION.value
    event = DagsterEvent(kind, run.job_name, event_specific_data=StepMaterializationData(made))
    return EventLogEntry(None, "info", "", run.run_id, time.time(), job_name=run.job_name, dagster_event=event)


def _success(run: dg.DagsterRun) -> Any:
    from dagster._core.events import DagsterEvent, DagsterEventType
    from dagster._core.events.log import EventLogEntry

    event = DagsterEvent(DagsterEventType.RUN_SUCCESS.value, run.job_name)
    return EventLogEntry(None, "info", "", run.run_id, time.time(), job_name=run.job_name, dagster_event=event)


PROJECTS = ["alpha", "broken", "gamma"]


@dataclass
class Followed:
    """The graph of the real assets, of which only the history counts; `tick` says what is asked for."""

    instance: dg.DagsterInstance
    _cursor: Any = None

    def tick(self) -> dict[str, set[str | None]]:
        found = dg.evaluate_automation_conditions(
            defs, self.instance, asset_selection=dg.AssetSelection.groups("rag"), cursor=self._cursor
        )
        self._cursor = found.cursor
        asked = {}
        for asset in ("chunks", "embeddings", "hnsw_index", "live_space"):
            subset = found.get_requested_partitions(dg.AssetKey(asset))
            if subset:
                asked[asset] = set(subset)
        return asked

    def started(self, *assets: str, key: str | None = None, tags: Mapping[str, str] = {}) -> dg.DagsterRun:
        """A run of the assets that goes on until it is `ended`."""
        keys = {dg.AssetKey(asset) for asset in assets}
        return self.instance.create_run_for_job(
            defs.resolve_job_def("ingest").get_subset(asset_selection=keys),
            asset_selection=frozenset(keys),
            tags={**tags, **({"dagster/partition": key} if key else {})},
            status=dg.DagsterRunStatus.STARTED,
        )

    def ended(self, run: dg.DagsterRun, *, failed: bool = False) -> None:
        if failed:
            self.instance.report_run_failed(run)
        else:
            self.instance.handle_new_event(_success(run))

    def updated(self, asset: str, *keys: str | None, run: dg.DagsterRun | None = None) -> None:
        for key in keys or (None,):
            if run is not None:
                self.instance.handle_new_event(_made(run, dg.AssetMaterialization(asset, partition=key)))
                continue
            self.instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=key))


@pytest.fixture
def followed() -> Iterator[Followed]:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(projects.name), PROJECTS)
        made = Followed(instance)
        for asset in ("raw_documents", "chunks", "embeddings"):
            made.updated(asset, "alpha", "gamma")
        for asset in ("hnsw_index", "live_space"):
            made.updated(asset)
        made.tick()
        assert made.tick() == {}
        yield made


def test_chunks_and_embeddings_follow_the_partition_that_was_updated(followed: Followed) -> None:
    followed.updated("raw_documents", "alpha")
    assert followed.tick() == {"chunks": {"alpha"}, "embeddings": {"alpha"}}
    assert followed.tick() == {}


def test_the_index_follows_although_a_partition_was_never_made(followed: Followed) -> None:
    followed.updated("embeddings", "gamma")
    assert followed.tick() == {"hnsw_index": {None}, "live_space": {None}}
    assert followed.tick() == {}


def test_what_a_run_does_in_one_go_is_not_followed(followed: Followed) -> None:
    run = followed.started("raw_documents", "chunks", "embeddings", "hnsw_index", "live_space", key="alpha")
    followed.updated("raw_documents", "alpha", run=run)
    assert followed.tick() == {}
    followed.updated("chunks", "alpha", run=run)
    assert followed.tick() == {}, "embeddings, index and pointer are on their way"


def test_what_a_run_over_several_projects_does_in_one_go_is_not_followed(followed: Followed) -> None:
    context = dg.build_sensor_context(instance=followed.instance, definitions=defs)
    [request] = refresh_requests(context, PipelineScope(), {"alpha", "broken"})
    run = followed.started(*INGEST_ASSETS, tags=request.tags)
    for asset in ("raw_documents", "chunks", "embeddings"):
        followed.updated(asset, "alpha", "broken", run=run)
        assert followed.tick() == {}, asset
    followed.ended(run)
    assert followed.tick() == {}
    followed.updated("raw_documents", "alpha")
    assert followed.tick() == {"chunks": {"alpha"}, "embeddings": {"alpha"}}, "by another run"


@needs_custom_storage
def test_what_the_first_run_of_an_installation_does_in_one_go_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text(SHIPPED_CONFIG)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        instance.add_dynamic_partitions(str(projects.name), PROJECTS)
        followed = Followed(instance)
        assert followed.tick() == {}, "nothing has ever happened"
        context = dg.build_sensor_context(instance=instance, definitions=defs)
        [request] = refresh_requests(context, PipelineScope(), {"alpha", "broken"})
        run = followed.started(*INGEST_ASSETS, tags=request.tags)
        # All of them before automation looks for the second time.
        for asset in ("raw_documents", "chunks", "embeddings"):
            followed.updated(asset, "alpha", "broken", run=run)
        assert followed.tick() == {}
        for asset in ("hnsw_index", "live_space"):
            followed.updated(asset, run=run)
        followed.ended(run)
        assert followed.tick() == {}
        followed.updated("raw_documents", "alpha")
        assert followed.tick() == {"chunks": {"alpha"}, "embeddings": {"alpha"}}, "by another run"


def test_an_update_while_the_index_is_built_is_followed_when_that_has_ended(followed: Followed) -> None:
    followed.updated("embeddings", "alpha")
    assert "hnsw_index" in followed.tick()
    run = followed.started("hnsw_index")
    followed.updated("embeddings", "gamma")
    assert "hnsw_index" not in followed.tick()
    assert "hnsw_index" not in followed.tick(), "it is being built"
    # It lands in the very tick in which the index was finished.
    followed.updated("hnsw_index")
    followed.ended(run)
    assert "hnsw_index" in followed.tick(), "it did not see gamma"
    assert followed.tick() == {}


def test_an_update_in_the_tick_after_a_request_is_not_taken_for_done(followed: Followed) -> None:
    followed.updated("embeddings", "alpha")
    assert "hnsw_index" in followed.tick()
    followed.updated("embeddings", "gamma")
    assert "hnsw_index" in followed.tick()


def test_the_index_waits_for_vectors_that_are_being_made_and_not_for_ones_that_failed(followed: Followed) -> None:
    run = followed.started("embeddings", key="broken")
    followed.updated("embeddings", "alpha")
    assert "hnsw_index" not in followed.tick()
    followed.ended(run, failed=True)
    assert "hnsw_index" in followed.tick(), "nobody waits for the broken one"


def test_assets_know_these_conditions() -> None:
    conditions = {
        spec.key.to_user_string(): spec.automation_condition
        for asset in defs.assets or []
        if isinstance(asset, dg.AssetsDefinition)
        for spec in asset.specs
    }
    assert conditions["raw_documents"] is None, "its source is looked at by a sensor"
    assert {conditions[name] for name in ("chunks", "embeddings", "live_space")} == {FOLLOWS_UPSTREAM}
    assert conditions["hnsw_index"] == FOLLOWS_PARTITIONS
