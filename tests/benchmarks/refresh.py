"""python -m tests.benchmarks.refresh [--documents 10000] [--model] [--tables]: where an ingest spends its time.

Makes a deterministic corpus of Markdown files, and measures the job `ingest` over it: the first time, with nothing
changed, with 1% of the files changed, and nothing changed again; then the job `checks`, which reads every row, and
fifty searches. Each step has a process of its own. Vectors come from a hash of the words, or with --model from the
configured model. Prints one JSON object: of each step the seconds without start-up, those of each asset and check,
CPU seconds of process and server, statements, rows that the server read, and the peak memory. `own_checks` is what the
checks take without Dagster's records of them. `dagster_seconds` and `dagster_cpu_seconds` are what Dagster takes for
the same assets and checks when they do nothing, `dagster_checks_seconds` for the checks alone. With --tables, it also
has the slowest statements.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.ingest import installation

PARAGRAPHS = 18
WORDS_OF_PARAGRAPH = 80
WORDS = 6_000
CHANGED_SHARE = 0.01
SEARCHES = 50
# Texts of random words are all as far from each other: of 180,000, an index finds fewer of the nearest.
SETTINGS = {"RAG_ASSETS_RECALL_LIMIT": "0.5"}
STEPS = ("first", "unchanged", "changed", "unchanged_again", "checks", "search")
SLOWEST = 12
ROWS_READ = (
    "SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0) FROM pg_stat_user_tables "
    "WHERE schemaname = 'rag'"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000)
    parser.add_argument("--model", action="store_true", help="embed with the configured model")
    parser.add_argument("--tables", action="store_true", help="list the slowest statements of each step")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps(measure(arguments)))
        return
    report: dict[str, Any] = {"documents": arguments.documents, "encoder": "model" if arguments.model else "hash"}
    with tempfile.TemporaryDirectory(prefix="rag-bench-corpus-") as name, installation() as environment:
        environment |= SETTINGS
        folder = Path(name) / "corpus"
        write_corpus(folder, arguments.documents)
        for step in STEPS:
            if step == "changed":
                change_corpus(folder)
            report[step] = _measure_in_child(environment, arguments, step, folder)
    print(json.dumps(report))


def write_corpus(folder: Path, documents: int) -> None:
    """Files of some 4.6 KB in folders of a hundred, with about 18 chunks each; no two paragraphs are equal."""
    chance = random.Random(7)
    words = _vocabulary()
    for number in range(documents):
        path = folder / f"part{number // 100:03}" / f"page{number:05}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n\n".join(_section(chance, words, part) for part in range(PARAGRAPHS)) + "\n")


def change_corpus(folder: Path) -> None:
    """Replace a section in one of a hundred files."""
    chance = random.Random(8)
    words = _vocabulary()
    files = sorted(folder.rglob("*.md"))
    for path in files[:: round(1 / CHANGED_SHARE)]:
        sections = path.read_text().split("\n\n# ")
        sections[3] = _section(chance, words, 3).removeprefix("# ")
        path.write_text("\n\n# ".join(sections))


def _section(chance: random.Random, words: list[str], part: int) -> str:
    body = " ".join(chance.choices(words, k=WORDS_OF_PARAGRAPH))
    return f"# Section {part} on {chance.choice(words)}\n\n{body.capitalize()}."


def _vocabulary() -> list[str]:
    chance = random.Random(6)
    syllables = ("ka", "lo", "mi", "ren", "tas", "vu", "so", "dil", "per", "qua", "no", "be", "ter", "xi")
    return ["".join(chance.choices(syllables, k=chance.randint(1, 3))) for _ in range(WORDS)]


def _measure_in_child(environment: dict[str, str], arguments: Any, step: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.refresh", "--step", step, "--folder", str(folder)]
    command += [option for option in ("--model", "--tables") if getattr(arguments, option[2:])]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure(arguments: Any) -> dict[str, Any]:
    from sqlalchemy import text

    from rag_assets.cli.commands.ingest import ProjectOptions, prepare_project
    from rag_assets.cli.runtime import installation as home
    from rag_assets.db.database import shared_engine
    from rag_assets.orchestration.partitions import projects

    settings = home.enter()
    engine = shared_engine(settings)
    if not arguments.model:
        _embed_by_hash()
    name = prepare_project(engine, ProjectOptions(source=str(arguments.folder)))
    home.instance().add_dynamic_partitions(str(projects.name), [name])
    with engine.connect() as connection:
        before = connection.scalar(text(ROWS_READ))
        postmaster = connection.scalar(text("SELECT pg_backend_pid()"))
    postmaster = _parent(postmaster)
    server_s, process_s = _server_cpu_s(postmaster), time.process_time()
    started = time.perf_counter()
    with _statements(engine) as statements, _timed_checks(postmaster) as own:
        figures = _search(engine, settings) if arguments.step == "search" else _run(arguments.step, name)
    seconds = time.perf_counter() - started
    figures = {
        "seconds": round(seconds, 3),
        "cpu_seconds": {
            "process": round(time.process_time() - process_s, 3),
            "server": round(_server_cpu_s(postmaster) - server_s, 3),
        },
        **figures,
        "own_checks": {name: round(taken, 3) for name, taken in own.items()},
        "statements": sum(count for count, _ in statements.values()),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    # Sessions report what they read at the end of a transaction, at most once a second.
    time.sleep(1.1)
    engine.dispose()
    time.sleep(0.3)
    with engine.connect() as connection:
        figures["rows_read"] = int((connection.scalar(text(ROWS_READ)) or 0) - (before or 0))
    if arguments.step == "unchanged":
        figures |= _measure_dagster()
    if arguments.tables:
        slowest = sorted(statements.items(), key=lambda one: -one[1][1])[:SLOWEST]
        figures["slowest"] = [[round(taken, 4), count, statement[:300]] for statement, (count, taken) in slowest]
    return figures


def _run(step: str, project: str) -> dict[str, Any]:
    from rag_assets.cli.runtime.run_job import run_job

    outcome = run_job("checks") if step == "checks" else run_job("ingest", partition_key=project)
    if outcome.error is not None or any(check.fatal for check in outcome.checks):
        raise SystemExit(f"the run failed: {outcome.error or outcome.checks}")
    steps = _step_seconds(outcome.run_id)
    return {
        "assets_seconds": round(sum(taken for name, taken in steps.items() if not name.endswith("_checks")), 3),
        "checks_seconds": round(sum(taken for name, taken in steps.items() if name.endswith("_checks")), 3),
        "steps": steps,
        "checked": {
            check.name: {key: check.metadata[key] for key in ("rows_read", "rows_left") if key in check.metadata}
            for check in outcome.checks
            if "rows_read" in check.metadata
        },
        "figures": {
            "documents": outcome.figures.get("raw_documents", {}).get("seen"),
            "embedded": outcome.figures.get("embeddings", {}).get("embedded"),
            "vectors": outcome.figures.get("hnsw_index", {}).get("vectors"),
        },
    }


def _search(engine: Any, settings: Any) -> dict[str, Any]:
    from rag_assets.search.retriever import Retriever

    retriever = Retriever(engine, encoder=_encoder_of_space if not _uses_model() else None)
    chance, words = random.Random(9), _vocabulary()
    found = [len(retriever.search(" ".join(chance.choices(words, k=4)), k=10).hits) for _ in range(SEARCHES)]
    return {"searches": SEARCHES, "hits": sum(found)}


def _measure_dagster() -> dict[str, float]:
    """Seconds for the same assets and checks, empty, in this process and with the same storage; medians of three."""
    import dagster as dg

    from rag_assets.cli.runtime import installation as home
    from rag_assets.definitions import defs

    job = defs.resolve_job_def("ingest")
    nodes = [node.name for node in job.graph.nodes]
    specs = [
        [spec.name for spec in checks.check_specs]
        for checks in defs.asset_checks or []
        if getattr(checks, "node_def", None) is not None and checks.node_def.name in nodes
    ]
    assets: list[Any] = []
    for number in range(len(nodes) - len(specs)):

        @dg.asset(name=f"empty_{number}", deps=assets[-1:])
        def empty() -> None: ...

        assets.append(empty)
    empty_checks = [_empty_checks(f"checks_{number}", names, assets) for number, names in enumerate(specs)]
    both = dg.Definitions(assets=assets, asset_checks=empty_checks, executor=dg.in_process_executor)
    empty_job = both.resolve_implicit_global_asset_job_def()
    times = []
    for _ in range(3):
        started, process_s = time.perf_counter(), time.process_time()
        os.environ["DAGSTER_EVENT_BATCH_SIZE"] = "50"
        result = empty_job.execute_in_process(instance=home.instance(), run_config=home.quiet_run_config())
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - process_s
        assert result.success
        steps = _step_seconds(result.run_id)
        times.append((seconds, sum(taken for name, taken in steps.items() if name.startswith("checks_")), cpu_seconds))
    names = ("dagster_seconds", "dagster_checks_seconds", "dagster_cpu_seconds")
    return {name: round(sorted(found)[1], 3) for name, found in zip(names, zip(*times, strict=True), strict=True)}


@contextmanager
def _timed_checks(postmaster: int) -> Iterator[dict[str, float]]:
    """Sum what the checks of the block take themselves, without Dagster's records of them."""
    from rag_assets.orchestration.checks import documents, projects, results, spaces

    own: Counter[str] = Counter()

    def timed(check: Any) -> Any:
        def run() -> Any:
            # The server first, since reading its processes takes a while.
            before = _server_cpu_s(postmaster), time.perf_counter(), time.process_time()
            try:
                return check()
            finally:
                own_after = time.perf_counter(), time.process_time()
                after = (_server_cpu_s(postmaster), *own_after)
                for name, start, end in zip(("server", "seconds", "process"), before, after, strict=True):
                    own[name] += end - start  # type: ignore[assignment]

        return run

    def run_checks(context: Any, checks: Any, **options: Any) -> Any:
        return original(context, {name: timed(check) for name, check in checks.items()}, **options)

    original, modules = results.run_checks, (documents, projects, spaces)
    for module in modules:
        module.run_checks = run_checks  # type: ignore[attr-defined]
    try:
        yield own  # type: ignore[misc]
    finally:
        for module in modules:
            module.run_checks = original  # type: ignore[attr-defined]


def _step_seconds(run_id: str) -> dict[str, float]:
    from rag_assets.cli.runtime import installation as home

    stats = home.instance().get_run_step_stats(run_id)
    return {one.step_key: round((one.end_time or 0) - (one.start_time or 0), 3) for one in stats}


def _empty_checks(name: str, names: list[str], assets: list[Any]) -> Any:
    import dagster as dg

    keys = [asset.key for asset in assets]
    specs = [dg.AssetCheckSpec(one, asset=keys[place % len(keys)]) for place, one in enumerate(names)]

    @dg.multi_asset_check(name=name, specs=specs)
    def empty_checks() -> Iterator[dg.AssetCheckResult]:
        for spec in specs:
            yield dg.AssetCheckResult(passed=True, check_name=spec.name, asset_key=spec.asset_key)

    return empty_checks


def _uses_model() -> bool:
    return "--model" in sys.argv


def _embed_by_hash() -> None:
    """Let the pipeline embed by a hash of the words: the directions of the words are kept, which makes it fast."""
    from functools import cache

    from rag_assets.orchestration.resources.embedder import Embedder
    from rag_assets.testing import encoder

    encoder._direction = cache(encoder._direction)
    Embedder.encoder = lambda self, space: _encoder_of_space(space)  # type: ignore[method-assign]


def _encoder_of_space(space: Any) -> Any:
    from rag_assets.testing import HashEncoder

    class ForgetfulEncoder(HashEncoder):
        """Keeps no list of what it embedded, which would count as memory of the ingest."""

        def encode(self, texts: Any) -> Any:
            vectors = super().encode(texts)
            self.embedded.clear()
            return vectors

    return ForgetfulEncoder(space.dimensions)


@contextmanager
def _statements(engine: Any) -> "Iterator[dict[str, tuple[int, float]]]":
    """Count the statements of SQLAlchemy in the block and the seconds until their answers, by their text."""
    from sqlalchemy import event

    counts: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    found: dict[str, tuple[int, float]] = {}

    def begin(_connection: Any, _cursor: Any, _statement: str, _values: Any, context: Any, _many: bool) -> None:
        context.began = time.perf_counter()

    def end(_connection: Any, _cursor: Any, statement: str, _values: Any, context: Any, _many: bool) -> None:
        counts[statement] += 1
        seconds[statement] += time.perf_counter() - context.began
        found[statement] = counts[statement], float(seconds[statement])

    event.listen(engine, "before_cursor_execute", begin)
    event.listen(engine, "after_cursor_execute", end)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", begin)
        event.remove(engine, "after_cursor_execute", end)


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def _server_cpu_s(postmaster: int) -> float:
    """CPU seconds of the server's processes, with those that have ended."""
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    ticks = sum(map(int, _stat(postmaster)[11:15])) + sum(sum(map(int, _stat(int(pid))[11:13])) for pid in children)
    return ticks / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


if __name__ == "__main__":
    main()
