"""python -m tests.benchmarks.ingest [FOLDER] [--runs N] [--memory]: a first ingest against the bare limit.

Prints one JSON object. `seconds` is a whole first run of the job with its checks, without start-up (imports, server,
model). `limit_seconds` is the minimum of work in the same process on the same texts: `encode` of the model over all
distinct texts sorted by length, a binary COPY of the vectors, and CREATE INDEX. Both are medians of `--runs`.
`second_run` compares the command with nothing changed with Dagster running five empty assets. With `--memory`,
`memory` compares peak memory at 1x and 20x of a corpus. The default FOLDER is Python's documentation topics.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.orchestration.dagster_homes import make_default_home

EMPTY_ASSETS = """
import time
started = time.perf_counter()
import dagster as dg
assets = []
for number in range(5):
    @dg.asset(name=f"empty_{number}", deps=assets[-1:])
    def empty() -> None: ...
    assets.append(empty)
job = dg.Definitions(assets=assets).resolve_implicit_global_asset_job_def()
quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
assert job.execute_in_process(instance=dg.DagsterInstance.get(), run_config=quiet).success
"""
IMPORT = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.folder)))
        return
    runs = []
    for _ in range(arguments.runs):
        with installation() as environment:
            runs.append(measure_in_child(environment, arguments.folder))
            second = measure_second_run(environment, arguments.folder)
    middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    middle["ratio_to_limit"] = round(statistics.median(run["seconds"] / run["limit_seconds"] for run in runs), 3)
    report = {**middle, "runs": arguments.runs, "second_run": second, "imports": measure_imports()}
    if arguments.memory:
        report["memory"] = measure_memory(arguments.folder)
    print(json.dumps(report))


class installation:
    """A new state folder with its own embedded server, deleted at the end; yields the environment for children."""

    def __enter__(self) -> dict[str, str]:
        self._folder = tempfile.TemporaryDirectory(prefix="rag-bench-", ignore_cleanup_errors=True)
        keep = {key: value for key, value in os.environ.items() if not key.startswith(("RAG_ASSETS_", "DAGSTER_"))}
        self._environment = keep | {"RAG_ASSETS_STATE_DIR": self._folder.name, "HF_HUB_OFFLINE": "1"}
        return self._environment

    def __exit__(self, *_: object) -> None:
        subprocess.run(
            [sys.executable, "-c", "from rag_assets.cli.main import main; main()", "db", "stop"],
            env=self._environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        self._folder.cleanup()


def measure_in_child(environment: dict[str, str], folder: str | None) -> dict[str, float]:
    """Measure in a child process, so that its peak memory is that of one ingest."""
    command = [sys.executable, "-m", "tests.benchmarks.ingest", "--measure", *([folder] if folder else [])]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure(folder: str | None) -> dict[str, float]:
    from rag_assets.cli.commands.ingest import ProjectOptions, prepare_project
    from rag_assets.cli.runtime import installation as home
    from rag_assets.cli.runtime.run_job import run_job
    from rag_assets.db.database import shared_engine
    from rag_assets.embedding.encoder import get_space_encoder
    from rag_assets.orchestration.partitions import projects
    from rag_assets.pipeline.target.wanted_space import target_space

    settings = home.enter()
    engine = shared_engine(settings)
    # The encoder that the run will use, loaded before the clock starts.
    encoder: Any = get_space_encoder(target_space(settings).definition, settings)  # type: ignore[arg-type]
    model = encoder.load()
    model.encode(["warm"])
    name = prepare_project(engine, ProjectOptions(source=folder))
    home.instance().add_dynamic_partitions(str(projects.name), [name])

    started = time.perf_counter()
    outcome = run_job("ingest", partition_key=name)
    seconds = time.perf_counter() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if outcome.error is not None or any(check.fatal for check in outcome.checks):
        raise SystemExit(f"the ingest failed: {outcome.error or outcome.checks}")
    stages = sum(figures.get("seconds", 0.0) for figures in outcome.figures.values())
    texts, limit = measure_bare_limit(engine, model)
    return {
        "seconds": round(seconds, 2),
        "seconds_without_checks": round(stages, 2),
        "limit_seconds": round(limit, 2),
        "texts": texts,
        "chunks": outcome.figures["chunks"]["inserted"],
        "peak_rss_mb": round(peak_mb, 1),
    }


def measure_bare_limit(engine: Any, model: Any) -> tuple[int, float]:
    """The number of texts just ingested, and the seconds for encode, COPY and CREATE INDEX with psycopg alone."""
    import psycopg
    from pgvector.psycopg import register_vector

    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        register_vector(connection)
        texts = [
            text
            for (text,) in connection.execute(
                "SELECT DISTINCT ON (content_hash) chunk_text FROM rag.document_chunks ORDER BY content_hash"
            )
        ]
        started = time.perf_counter()
        texts.sort(key=len)
        vectors = model.encode(texts, show_progress_bar=False)
        dimensions = vectors.shape[1]
        connection.execute(f"CREATE TABLE bare (id integer PRIMARY KEY, embedding vector({dimensions}))")
        with connection.cursor().copy("COPY bare FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int4", "vector"])
            for row in enumerate(vectors):
                copy.write_row(row)
        connection.execute("CREATE INDEX ON bare USING hnsw (embedding vector_cosine_ops)")
        connection.commit()
        seconds = time.perf_counter() - started
        connection.execute("DROP TABLE bare")
    return len(texts), seconds


def measure_second_run(environment: dict[str, str], folder: str | None) -> dict[str, Any]:
    """The command with nothing changed and Dagster with five empty assets: medians of five whole processes."""
    # A home with Dagster's own storage instead of ours.
    home = make_default_home(Path(environment["RAG_ASSETS_STATE_DIR"]) / "empty_home")
    ours: list[str | Path] = [
        Path(sys.executable).with_name("rag-assets"),
        "ingest",
        *([folder] if folder else []),
        "--json",
    ]
    empty: list[str | Path] = [sys.executable, "-c", EMPTY_ASSETS]
    times: dict[str, list[float]] = {"ours": [], "empty": []}
    for _ in range(5):
        for name, command in (("empty", empty), ("ours", ours)):
            started = time.perf_counter()
            done = subprocess.run(
                command,
                env=environment | ({"DAGSTER_HOME": str(home)} if name == "empty" else {}),
                check=True,
                stdout=subprocess.PIPE,
            )
            times[name].append(time.perf_counter() - started)
            if name == "ours":
                report = json.loads(done.stdout)
    ours_s, empty_s = statistics.median(times["ours"]), statistics.median(times["empty"])
    return {
        "seconds": round(ours_s, 2),
        "empty_assets_seconds": round(empty_s, 2),
        "extra_seconds": round(ours_s - empty_s, 2),
        "texts_embedded": report["texts"]["embedded"],
    }


def measure_imports() -> dict[str, float]:
    """Seconds to import our code location and Dagster alone: medians of five processes each."""
    times: dict[str, list[float]] = {"dagster": [], "rag_assets.definitions": []}
    for _ in range(5):
        for module, seconds in times.items():
            done = subprocess.run(
                [sys.executable, "-c", IMPORT.format(module)], check=True, stdout=subprocess.PIPE, text=True
            )
            seconds.append(float(done.stdout))
    dagster, ours = (statistics.median(seconds) for seconds in times.values())
    return {"dagster": round(dagster, 3), "rag_assets": round(ours, 3), "ratio": round(ours / dagster, 2)}


def measure_memory(folder: str | None) -> dict[str, float]:
    """Peak memory of a first ingest of a twentieth of the corpus and of all of it."""
    from rag_assets.documents.sources import TOPICS_URI, open_source
    from rag_assets.documents.sources.base import read_bytes

    source = open_source(folder or TOPICS_URI)
    files = list(source.list())
    peaks = {}
    with tempfile.TemporaryDirectory(prefix="rag-bench-corpus-") as corpus:
        for name, part in (("1x", files[:: len(files) // max(1, len(files) // 20)]), ("20x", files)):
            below = Path(corpus) / name
            for file in part:
                (below / file.path).parent.mkdir(parents=True, exist_ok=True)
                (below / file.path).write_bytes(read_bytes(source, file.path))
            with installation() as environment:
                peaks[name] = measure_in_child(environment, str(below))["peak_rss_mb"]
    return {**peaks, "ratio": round(peaks["20x"] / peaks["1x"], 3)}


if __name__ == "__main__":
    main()
