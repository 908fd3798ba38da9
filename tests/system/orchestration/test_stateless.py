"""The code location with a database and no disk: the whole file system is read-only but for temporary files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.support.orchestration.read_only import can_be_read_only, in_read_only_root, memory_folder
from tests.support.paths import ROOT
from tests.support.pipeline.stages import write

pytestmark = pytest.mark.skipif(not can_be_read_only(), reason="no mount namespaces here")

# Loads the component, makes the declared project a partition, and ingests it, as the processes of a deployment do.
SCRIPT = """
import json, os, sys
import dagster as dg
from rag_assets import RagPipeline
from tests.support.fakes import FakeEmbedder

folder = sys.argv[1]
component = RagPipeline(
    key_prefix="docs",
    projects={"handbook": {"source": folder}},
    settings={"database_url": os.environ["ADDRESS"], "latency_limit_ms": 10_000},
    resources={"embedder": "tests.support.fakes:FakeEmbedder"},
)
defs = component.build_defs(dg.ComponentTree.for_test().load_context)
with dg.DagsterInstance.ephemeral() as instance:
    repository = defs.get_repository_def()
    sensor = repository.get_sensor_def("docs_project_partitions")
    resources = {"docs_postgres": defs.resources["docs_postgres"]}
    with dg.build_sensor_context(instance=instance, repository_def=repository, resources=resources) as context:
        for request in sensor.evaluate_tick(context).dynamic_partitions_requests:
            instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    result = defs.resolve_job_def("docs_ingest").execute_in_process(
        instance=instance, partition_key="handbook", run_config=quiet
    )
print(json.dumps({"success": result.success, "assets": len(result.get_asset_materialization_events())}))
"""


def test_the_component_loads_and_ingests_without_a_disk(database: URL, tmp_path: Path) -> None:
    write(tmp_path / "handbook" / "whale.md", "# Whales\n\nWhales sing.\n")
    work = tmp_path / "work"
    work.mkdir()
    with memory_folder() as temporary:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAG_ASSETS_", "DAGSTER_"))}
        environment = kept | {
            "ADDRESS": database.render_as_string(hide_password=False),
            "TMPDIR": temporary,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        done = subprocess.run(
            in_read_only_root([sys.executable, "-c", SCRIPT, str(tmp_path / "handbook")]),
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
    assert done.returncode == 0, done.stderr[-4000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {"success": True, "assets": 5}
    assert list(work.iterdir()) == []
