"""python -m tests.benchmarks.load [--minutes 15] [--chunks 10000,100000]: searches and writes at once, for long.

Two applications, one with threads and one with an event loop, have 16 searchers between them (--searchers), who ask
again at once: by vector, by keyword, hybrid, with filters, in one project, with MMR, with context, the second page,
messages, and texts that no one asked before. Two writers append messages through a third application, two others change
files and run `rag-assets ingest`. Twice in the run (once in two minutes) all that a night brings comes at once: a
refresh of a project, `rag-assets embed messages`, `rag-assets maintain`, and a new index beside the one in use. All run
in processes of their own, with a small model, on an embedded server in a temporary folder that holds --chunks synthetic
chunks more.
What comes before every searcher has asked in all modes, and --warm-up seconds after that, is not counted: an
application loads its model then.

Prints one JSON object, by the number of chunks. `misses` lists the limits that were not kept: 0 errors, 0 lost writes,
p99 under 250 ms, no answer over 1 s, no session idle in a transaction for over 1 s, connections within the pools, and
private memory of the applications and of their server processes in the last third at most 5% over the first.
`passed` says whether there is none, as does the exit code.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from rag_assets.db.connections.options import EngineOptions
from rag_assets.db.database import new_engine
from rag_assets.db.server.server import EmbeddedServer
from rag_assets.settings.settings import Settings, load_settings
from tests.benchmarks.bare import conninfo
from tests.benchmarks.load.installation import Folder, configure, prepare
from tests.benchmarks.load.report import memory_figures, misses, read_answers, search_figures
from tests.benchmarks.load.searchers import search_in_a_loop, search_in_threads
from tests.benchmarks.load.server_watch import watch_server
from tests.benchmarks.load.writers import DocumentWriter, Night, all_errors, compare_messages, write_messages

WARM_UP_LIMIT_S = 300
MESSAGE_WRITERS = 2
# When the nights begin, as shares of the time; a run of a minute has one.
NIGHTS = (0.1, 0.6)
SHORT_S = 120


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--chunks", default="10000,100000", help="numbers, separated by commas")
    parser.add_argument("--warm-up", type=float, default=10, help="seconds")
    parser.add_argument("--searchers", type=int, default=16, help="of both applications together, 2 or more")
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    for chunks in map(int, arguments.chunks.split(",")):
        with tempfile.TemporaryDirectory(prefix="rag-load-", ignore_cleanup_errors=True) as folder:
            load = Load(chunks, arguments.minutes * 60, arguments.warm_up, arguments.searchers)
            found[str(chunks)] = run_load(Path(folder), load)
    passed = not any(one["misses"] for one in found.values())
    print(json.dumps(found | {"passed": passed}))
    return 0 if passed else 1


@dataclass(frozen=True)
class Load:
    chunks: int
    seconds: float
    warm_up_s: float
    searchers: int


def run_load(folder: Path, load: Load) -> dict[str, Any]:
    # Whoever runs as root has an embedded server that runs as another user.
    folder.chmod(0o755)
    settings = configure(folder)
    server = EmbeddedServer.at(settings.state_dir)
    try:
        url = server.ensure_running()
        return measure(folder, url, prepare(folder, load.chunks), load)
    finally:
        server.stop()


def measure(folder: Path, url: str, folders: dict[str, Folder], load: Load) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    stop, found, warm = context.Event(), context.Queue(), context.Semaphore(0)
    half = load.searchers // 2
    applications: dict[str, tuple[Any, ...]] = {
        "threads": (search_in_threads, half, load.chunks, warm),
        "loop": (search_in_a_loop, load.searchers - half, load.chunks, warm),
        "chat": (write_messages, MESSAGE_WRITERS),
    }
    processes = [
        context.Process(target=work, args=(folder, name, *more, stop, found), daemon=True)
        for name, (work, *more) in applications.items()
    ]
    for process in processes:
        process.start()
    documents = [DocumentWriter(folders["docs-0"]), DocumentWriter(folders["docs-1"])]
    night = Night(DocumentWriter(folders["nightly"]))
    with watch_server(conninfo(make_url(url)), [process.pid or 0 for process in processes]) as watched:
        for _ in range(load.searchers):
            if not warm.acquire(timeout=WARM_UP_LIMIT_S):
                raise SystemExit(f"the searchers were not warm after {WARM_UP_LIMIT_S} s: {watched.slow[-5:]}")
        time.sleep(load.warm_up_s)
        start = time.monotonic()
        end = start + load.seconds
        writing = [threading.Thread(target=writer.run, args=(stop,)) for writer in documents]
        for thread in writing:
            thread.start()
        for share in NIGHTS if load.seconds > SHORT_S else NIGHTS[:1]:
            time.sleep(max(0.0, start + share * load.seconds - time.monotonic()))
            night.run()
        time.sleep(max(0.0, end - time.monotonic()))
        # A night may have taken longer.
        end = time.monotonic()
        stop.set()
        for thread in writing:
            thread.join()
        reports = dict(found.get(timeout=120) for _ in processes)
    for process in processes:
        process.join(timeout=60)
    engine = new_engine(load_settings(), "read")
    messages = compare_messages(engine, folder / "chat.messages")
    lost_files = sum(len(writer.folder.missing(engine)) for writer in (*documents, night.refresh))
    engine.dispose()
    errors = [error for one in reports.values() for error in one["messages"]]
    errors += [*all_errors([*documents, night.refresh], night), *watched.errors]
    pool = EngineOptions.from_settings(Settings())
    maximum = pool.pool_size + pool.pool_overflow
    figures: dict[str, Any] = {
        "seconds": round(end - start, 1),
        "searches": search_figures(read_answers(sorted(folder.glob("*.answers"))), start, end),
        "errors": len(errors),
        "messages_of_errors": errors[:10],
        "lost": messages["lost"] + lost_files + sum(writer.lost for writer in (*documents, night.refresh)),
        "duplicates": messages["duplicates"],
        "messages": messages["acknowledged"],
        "longest_append_s": reports["chat"]["longest_s"],
        "ingests_s": [writer.ingests for writer in documents],
        "nights_s": night.seconds,
        "idle_in_transaction_s": round(watched.idle_in_transaction_s, 3),
        "idle_in_transaction": watched.idle_in_transaction,
        # When no thread of an application ran, and how much of it its garbage collector took.
        **{
            f"{kind}s_s": {name: reports[name][f"{kind}_s"] for name in ("threads", "loop")}
            for kind in ("longest_stall", "longest_collection")
        },
        "lock_waits": dict(watched.lock_waits.most_common(8)),
        "slow_statements": watched.slow[-20:],
        "pools": {
            f"{name} {role}": {"peak": one["size"] if one["opened"] else 0, "maximum": maximum, **_counts(one)}
            for name, report in reports.items()
            for role, one in report["pools"].items()
        },
        "connections": watched.connections,
        "peak_connections": watched.all_connections,
        "memory": memory_figures(watched, start, end),
    }
    return figures | {"misses": misses(figures)}


def _counts(pool: dict[str, int]) -> dict[str, int]:
    return {name: pool[name] for name in ("opened", "recycled", "timeouts", "served")}


if __name__ == "__main__":
    sys.exit(main())
