"""Upgrades by several processes, and a pipeline that runs again after a downgrade."""

import subprocess
import sys

import dagster as dg
from sqlalchemy import URL, Engine

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.schema import migrations
from rag_assets.orchestration.partitions import projects
from tests.support.data.corpus import PROJECTS
from tests.support.pipeline.check_runs import failed_names, run_checks
from tests.support.pipeline.runs import run


def test_a_run_after_a_downgrade_and_upgrade_rebuilds_everything(built: Engine) -> None:
    migrations.downgrade(built, "0001")
    migrations.upgrade(built)
    dg.DagsterInstance.get().add_dynamic_partitions(str(projects.name), list(PROJECTS))
    # The sources of the built installation have not changed: nothing is read again.
    result = run(keys=PROJECTS)
    assert result.success
    assert failed_names(run_checks()) == set()


def test_two_processes_can_upgrade_one_database_at_once(empty_database: URL) -> None:
    empty = make_engine(empty_database)
    code = (
        "import sys; from sqlalchemy import make_url; from rag_assets.db.connections.engines import make_engine; "
        "from rag_assets.db.schema import migrations; migrations.upgrade(make_engine(make_url(sys.argv[1])))"
    )
    url = empty_database.render_as_string(hide_password=False)
    racers = [subprocess.Popen([sys.executable, "-c", code, url], stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for racer in racers:
        _, errors = racer.communicate(timeout=300)
        assert racer.returncode == 0, errors
    assert migrations.current_revision(empty) == migrations.head_revision()
    assert "No new upgrade operations" in migrations.check(empty)
    empty.dispose()
