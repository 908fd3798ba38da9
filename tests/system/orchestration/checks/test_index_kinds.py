"""All checks pass with other index methods and storages."""

import dagster as dg
import pytest
from sqlalchemy import Engine

from tests.support.pipeline.check_runs import check_metadata, failed_names, run_checks
from tests.support.pipeline.runs import run


@pytest.mark.parametrize("setting", ["STORAGE=bit", "METHOD=ivfflat"])
def test_checks_pass_with_other_kinds_of_indexes(built: Engine, monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    name, _, value = setting.partition("=")
    monkeypatch.setenv(f"RAG_ASSETS_INDEX_{name}", value)
    dg.DagsterInstance.get().add_dynamic_partitions("projects", ["sea", "zoo"])
    assert run(keys=["sea", "zoo"]).success
    found = run_checks()
    assert failed_names(found) == set()
    assert check_metadata(found, "index_used")["space"] == 2
