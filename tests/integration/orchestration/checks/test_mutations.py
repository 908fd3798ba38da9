"""Each damage fails exactly the checks that cover it, also in a run that reads only what changed."""

from typing import Any

import pytest
from sqlalchemy import Engine, func, text

from rag_assets.db.index import knn
from tests.support.database.damages import DAMAGES, add_half_a_space
from tests.support.pipeline.check_runs import check_metadata, failed_names, run_checks


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_fails_exactly_its_checks(built: Engine, name: str) -> None:
    DAMAGES[name].apply(built)
    assert failed_names(run_checks(full=False)) == DAMAGES[name].failing_checks


def test_a_half_built_space_fails_no_check_and_is_in_the_status(built: Engine) -> None:
    from rag_assets.pipeline.status import read_status

    add_half_a_space(built)
    assert failed_names(run_checks()) == set()
    live, half = read_status(built)["spaces"]
    assert (live["status"], half["status"]) == ("live", "building")
    assert 0 < half["vectors"] < live["vectors"]
    assert half["index_state"] == "absent"


def test_searches_override_a_database_with_iterative_scans_off(built: Engine) -> None:
    with built.begin() as connection:
        name = connection.scalar(text("SELECT quote_ident(current_database())"))
        connection.execute(text(f"ALTER DATABASE {name} SET hnsw.iterative_scan = off"))
    built.dispose()
    found = run_checks()
    assert failed_names(found) == set()
    assert check_metadata(found, "index_used")["scan_continues"] is True


def test_index_used_fails_if_searches_turn_iterative_scans_off(built: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def turn_scans_off(*given: Any, **options: Any) -> list[Any]:
        return [
            func.set_config("hnsw.iterative_scan", "off", True).label(setting.name)
            if setting.name == "hnsw_iterative_scan"
            else setting
            for setting in settings(*given, **options)
        ]

    settings = knn.statement_settings
    monkeypatch.setattr(knn, "statement_settings", turn_scans_off)
    found = run_checks()
    assert failed_names(found) == {"index_used"}
    assert "ends at its first candidates" in (found["index_used"].description or "")
