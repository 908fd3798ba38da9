"""The reference documents the severity that each check has when it runs."""

import re

import pytest
from dagster import AssetCheckKey, DagsterInstance

from tests.support.database.database_server import DatabaseServer
from tests.support.documentation.pages import PAGES
from tests.support.pipeline.runs import fake_defs


def test_the_documented_severity_of_each_check_is_right(
    databases: DatabaseServer, ingested: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (PAGES / "reference" / "checks.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^### (\w+)\n\nSeverity (\w+)", page, flags=re.MULTILINE))
    specs = [spec for check in fake_defs.asset_checks or [] for spec in check.check_specs]
    keys = [AssetCheckKey(spec.asset_key, spec.name) for spec in specs]
    monkeypatch.setenv("DAGSTER_HOME", str(databases.files(ingested) / "state" / "dagster_home"))
    with DagsterInstance.get() as instance:
        records = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
        found = {
            key.name: record.event.dagster_event.asset_check_evaluation_data.severity.value
            for key, record in records.items()
            if record.event is not None and record.event.dagster_event is not None
        }
    assert len(found) > 15
    assert found == {name: documented[name] for name in found}
