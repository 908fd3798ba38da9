"""Two pipelines with different settings on one database replace each other's live space, and both report it."""

from typing import Any

import dagster as dg
import pytest
from sqlalchemy import Engine

from rag_assets import Settings, build_definitions
from tests.support.fakes import FakeEmbedder
from tests.support.pipeline.check_runs import change_database
from tests.support.pipeline.runs import errors, rows

LIVE = "SELECT id FROM rag.embedding_spaces WHERE kind = 'chunks' AND status = 'live'"


class Pipelines:
    """The settings of `ours` want the live space; those of `theirs` want another one."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.instance = dg.DagsterInstance.get()
        url = engine.url.render_as_string(hide_password=False)
        self._defs = {
            prefix: build_definitions(
                key_prefix=prefix,
                settings={"database_url": url, "hnsw_m": links},
                resources={"embedder": FakeEmbedder()},
            )
            for prefix, links in {"ours": Settings().hnsw_m, "theirs": 24}.items()
        }
        for prefix in self._defs:
            names = [name for (name,) in rows(engine, "SELECT name FROM rag.projects ORDER BY name")]
            self.instance.add_dynamic_partitions(f"{prefix}_projects", names)

    def serve(self, prefix: str, *assets: str) -> dg.ExecuteInProcessResult:
        """Materialize these assets and live_space; returns the result with its checks."""
        result = self._run(prefix, "ingest", [dg.AssetKey([prefix, name]) for name in (*assets, "live_space")])
        assert errors(result) == []
        return result

    def check(self, prefix: str) -> dg.AssetCheckEvaluation:
        return settings_agree(self._run(prefix, "checks", None))

    def live_space_metadata(self, prefix: str) -> dict[str, Any]:
        event = self.instance.get_latest_materialization_event(dg.AssetKey([prefix, "live_space"]))
        assert event is not None
        assert event.asset_materialization is not None
        return {name: value.value for name, value in event.asset_materialization.metadata.items()}

    def replacement_warnings(self, result: dg.ExecuteInProcessResult) -> list[str]:
        logged = self.instance.all_logs(result.run_id)
        return [
            event.user_message for event in logged if event.level == 30 and " had replaced space " in event.user_message
        ]

    def _run(self, prefix: str, job: str, assets: list[dg.AssetKey] | None) -> dg.ExecuteInProcessResult:
        keys = self.instance.get_dynamic_partitions(f"{prefix}_projects")
        of_all = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
        return (
            self._defs[prefix]
            .resolve_job_def(f"{prefix}_{job}")
            .execute_in_process(
                instance=self.instance,
                asset_selection=assets,
                raise_on_error=False,
                tags=of_all if job == "ingest" else {},
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
        )


def settings_agree(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    [found] = [one for one in result.get_asset_check_evaluations() if one.check_name == "settings_agree"]
    return found


@pytest.fixture
def pipelines(built: Engine) -> Pipelines:
    found = Pipelines(built)
    result = found.serve("ours")
    assert settings_agree(result).passed
    assert rows(built, LIVE) == [(1,)]
    return found


def test_the_pipeline_that_restores_its_space_reports_the_replacement(pipelines: Pipelines, built: Engine) -> None:
    replacing = pipelines.serve("theirs", "chunks", "embeddings", "hnsw_index")
    assert rows(built, LIVE) == [(2,)]
    assert settings_agree(replacing).passed, "the first promotion of another space is no conflict"
    assert pipelines.replacement_warnings(replacing) == []

    replaced = pipelines.check("ours")
    assert not replaced.passed
    assert replaced.severity == dg.AssetCheckSeverity.WARN
    assert replaced.description == "space 2 took the place of space 1, and these settings never asked for it"
    assert pipelines.check("theirs").passed

    back = pipelines.serve("ours")
    assert rows(built, LIVE) == [(1,)]
    assert not settings_agree(back).passed
    [warning] = pipelines.replacement_warnings(back)
    assert warning.startswith("space 2 had replaced space 1 since the last run: another pipeline")
    assert pipelines.live_space_metadata("ours")["taken_back_from_space"] == "2"
    again = pipelines.serve("ours")
    assert settings_agree(again).passed, "the live space was not replaced since"
    assert "taken_back_from_space" not in pipelines.live_space_metadata("ours")


def test_a_rollback_or_manual_promotion_is_no_conflict(pipelines: Pipelines, built: Engine) -> None:
    change_database(built, "UPDATE rag.embedding_spaces SET status = 'previous', rolled_back_at = now() WHERE id = 1")
    change_database(
        built,
        "INSERT INTO rag.embedding_spaces (kind, fingerprint, chunking, chunking_settings, model, revision, "
        "dimensions, max_tokens, normalize, distance, storage, m, ef_construction, status) "
        "SELECT kind, 'another', chunking, chunking_settings, model, revision, dimensions, max_tokens, normalize, "
        "distance, storage, m, ef_construction, 'live' FROM rag.embedding_spaces WHERE id = 1",
    )
    assert pipelines.check("ours").passed
    change_database(built, "UPDATE rag.embedding_spaces SET rolled_back_at = NULL")
    assert not pipelines.check("ours").passed
