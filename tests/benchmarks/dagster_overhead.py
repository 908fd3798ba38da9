"""python -m tests.benchmarks.dagster_overhead [--projects 20] [--files 50] [--rounds 3] [--no-ui]: overhead.

Compares the package with Dagster alone and prints one JSON object. `refresh_seconds` is one run of the job ingest with
its checks over --projects unchanged projects of --files files each. `empty_seconds` is Dagster running as many empty
asset partitions (three assets with partitions, two without) in one process with its own storage. Both alternate;
figures are medians of --rounds, and `refresh_ratio` is the quotient. `ui_seconds` is the time until `rag-assets ui`
answers, `empty_ui_seconds` the time of `dagster dev` on a code location without assets. Everything runs in a temporary
installation with an embedded server.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.support.orchestration.dagster_homes import make_default_home
from tests.support.orchestration.dagster_servers import BIN, free_port

RUN_EMPTY_ASSETS = """
import dagster as dg
import sys, time
projects = dg.DynamicPartitionsDefinition(name="projects")
policy = dg.BackfillPolicy.single_run()
assets = []
for number in range(5):
    over = {"partitions_def": projects, "backfill_policy": policy} if number < 3 else {}
    @dg.asset(name=f"empty_{number}", deps=assets[-1:], **over)
    def empty() -> None: ...
    assets.append(empty)
defs = dg.Definitions(assets=assets, jobs=[dg.define_asset_job("all", selection="*")])
job = defs.resolve_job_def("all")
instance = dg.DagsterInstance.get()
keys = [f"p{number:03}" for number in range(int(sys.argv[1]))]
instance.add_dynamic_partitions("projects", keys)
quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
started = time.perf_counter()
assert job.execute_in_process(instance=instance, run_config=quiet, tags=tags).success
print(time.perf_counter() - started)
"""
# Like a command, it has loaded settings, engine and imports before the clock starts.
RUN_INGEST = """
import sys, time
from rag_assets.cli.runtime.installation import enter, instance
from rag_assets.cli.runtime.run_job import run_job
import rag_assets.definitions, rag_assets.pipeline.refresh
from rag_assets.db.database import shared_engine
shared_engine(enter())
instance()
started = time.perf_counter()
outcome = run_job("ingest", partition_range=(sys.argv[1], sys.argv[2]))
seconds = time.perf_counter() - started
assert outcome.success and not any(check.fatal for check in outcome.checks), outcome
print(seconds)
"""
ADD_PROJECTS = """
import sys
from pathlib import Path
from rag_assets.cli.groups.projects import enter
from rag_assets.cli.runtime.project_ranges import sync_partitions
from rag_assets.projects.store import save_project
engine, *_ = enter()
with engine.begin() as connection:
    for folder in sys.argv[1:]:
        save_project(connection, Path(folder).name, folder, {})
sync_partitions(engine)
"""
EMPTY_DEFINITIONS = "import dagster as dg\ndefs = dg.Definitions()\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--projects", type=int, default=20)
    parser.add_argument("--files", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-ui", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rag-overhead-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAG_ASSETS_")}
        environment |= {"RAG_ASSETS_STATE_DIR": str(root / "state"), "PYTHONPATH": str(Path.cwd())}
        environment.pop("DAGSTER_HOME", None)
        try:
            report = measure_refresh(root, environment, arguments)
            if not arguments.no_ui:
                report |= measure_ui(root, environment)
        finally:
            subprocess.run(
                [program_path("rag-assets"), "db", "stop"], env=environment, check=False, capture_output=True
            )
    print(json.dumps(report))


def measure_refresh(root: Path, environment: dict[str, str], arguments: argparse.Namespace) -> dict[str, Any]:
    names = [f"p{number:03}" for number in range(arguments.projects)]
    for name in names:
        source = root / name
        source.mkdir()
        for number in range(arguments.files):
            (source / f"page{number:03}.md").write_text(
                f"# {name}, page {number}\n\nWhat page {number} of {name} says.\n"
            )
    run_command([sys.executable, "-c", ADD_PROJECTS, *(str(root / name) for name in names)], environment)
    run = [sys.executable, "-c", RUN_INGEST, names[0], names[-1]]
    run_command(run, environment)
    at_empty_home = environment | {"DAGSTER_HOME": str(make_default_home(root / "empty_home"))}
    empty = [sys.executable, "-c", RUN_EMPTY_ASSETS, str(arguments.projects)]
    run_command(empty, at_empty_home)
    ours_s, empty_s = [], []
    for _ in range(arguments.rounds):
        empty_s.append(float(run_command(empty, at_empty_home)))
        ours_s.append(float(run_command(run, environment)))
    ours, theirs = statistics.median(ours_s), statistics.median(empty_s)
    return {
        "projects": arguments.projects,
        "files": arguments.files,
        "refresh_seconds": round(ours, 2),
        "empty_seconds": round(theirs, 2),
        "refresh_ratio": round(statistics.median(a / b for a, b in zip(ours_s, empty_s, strict=True)), 3),
    }


def measure_ui(root: Path, environment: dict[str, str]) -> dict[str, Any]:
    (root / "nothing.py").write_text(EMPTY_DEFINITIONS)
    home = make_default_home(root / "nothing_home")
    ours, empty = [], []
    for _ in range(3):
        port = free_port()
        theirs = [program_path("dagster"), "dev", "-f", str(root / "nothing.py"), "-h", "127.0.0.1", "-p", str(port)]
        empty.append(measure_start(theirs, port, environment | {"DAGSTER_HOME": str(home)}))
        port = free_port()
        ours.append(measure_start([program_path("rag-assets"), "ui", "--port", str(port)], port, environment))
    ours_s, empty_s = statistics.median(ours), statistics.median(empty)
    return {
        "ui_seconds": round(ours_s, 2),
        "empty_ui_seconds": round(empty_s, 2),
        "ui_ratio": round(ours_s / empty_s, 3),
    }


def measure_start(command: list[str], port: int, environment: dict[str, str]) -> float:
    """Seconds until the web server answers; it is stopped afterwards."""
    started = time.perf_counter()
    quiet = subprocess.DEVNULL
    # In its own session, SIGINT reaches its children too. Some shells start background processes with SIGINT ignored.
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=quiet,
        stderr=quiet,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        while time.perf_counter() - started < 120:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=5) as answer:
                    if answer.status == 200:
                        return time.perf_counter() - started
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.05)
        raise SystemExit(f"{' '.join(command)} does not answer")
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def program_path(name: str) -> str:
    return str(BIN / name)


def run_command(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command[:4])} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


if __name__ == "__main__":
    main()
