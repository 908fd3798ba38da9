"""The commands that serve the UI, run in the root of the repository."""

import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.support.orchestration.dagster_servers import BIN, DAEMONS, run_server
from tests.support.pipeline.runs import rows

COMMANDS = [
    (("dagster", "dev"), signal.SIGINT),
    (("dg", "dev"), signal.SIGTERM),
    (("rag-assets", "ui"), signal.SIGINT),
    (("rag-assets", "ui"), signal.SIGTERM),
]


@pytest.mark.parametrize(("command", "end"), COMMANDS)
def test_a_server_loads_and_runs_our_definitions_and_leaves_no_process(
    two_projects: Engine, tmp_path: Path, command: Sequence[str], end: signal.Signals
) -> None:
    if not (BIN / command[0]).exists():
        pytest.skip(f"{command[0]} is not installed: pip install -e '.[dg]' -c constraints.txt")
    background = command[0] == "rag-assets" and end is signal.SIGTERM
    with run_server(command, tmp_path / "server.log", end=end, background=background) as server:
        assert server.location_name() == "rag_assets"
        run = server.launch(["raw_documents", "chunks"], partition="zoo")

        def healthy() -> bool:
            found = server.query(DAEMONS)["daemonHealth"]["allDaemonStatuses"]
            return all(daemon["healthy"] for daemon in found if daemon["required"])

        server.wait_until(healthy, "healthy daemons")
        assert server.wait_for_run(run) == "SUCCESS", server.log_tail()
        assert rows(
            two_projects,
            "SELECT p.name FROM rag.document_chunks c JOIN rag.documents d ON d.id = c.document_id "
            "JOIN rag.projects p ON p.id = d.project_id",
        ) == [("zoo",)]
