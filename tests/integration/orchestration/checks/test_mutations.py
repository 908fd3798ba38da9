"""Each damage turns exactly the checks red that speak of it."""

from typing import Any

import pytest
from sqlalchemy import Engine, func, text

from rag_assets.db.index import knn
from tests.support.check_runs import check_metadata, failed_names, run_checks
from tests.support.damages import DAMAGES, add_half_a_space


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_turns_red_what_speaks_of_it_and_nothing_else(built: Engine, name: str) -> None:
    DAMAGES[name].apply(built)
    assert failed_names(run_checks()) == DAMAGES[name].failing_checks


def test_another_space_half_built_turns_nothing_red_and_is_shown(built: Engine) -> None:
    from rag_assets.pipeline.status import read_status

    add_half_a_space(built)
    assert failed_names(run_checks()) == set()
    live, half = read_status(built)["spaces"]
    assert (live["status"], half["status"]) == ("live", "building")
    assert 0 < half["vectors"] < live["vectors"]
    assert half["index_state"] == "absent"


def test_a_database_that_has_iterative_scans_off_changes_nothing_for_searches(built: Engine) -> None:
    with built.begin() as connection:
        name = connection.scalar(text("SELECT quote_ident(current_database())"))
        connection.execute(text(f"ALTER DATABASE {name} SET hnsw.iterative_scan = off"))
    built.dispose()
    found = run_checks()
    assert failed_names(found) == set()
    assert check_metadata(found, "index_used")["scan_continues"] is True


def test_searches_that_send_iterative_scans_off_turn_the_check_of_the_index_red(
    built: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off(*given: Any, **options: Any) -> list[Any]:
        return [
            func.set_config("hnsw.iterative_scan", "off", True).label(setting.name)
            if setting.name == "hnsw_iterative_scan"
            else setting
            for setting in settings(*given, **options)
        ]

    settings = knn.statement_settings
    monkeypatch.setattr(knn, "statement_settings", off)
    found = run_checks()
    assert failed_names(found) == {"index_used"}
    assert "ends at its first candidates" in (found["index_used"].description or "")
