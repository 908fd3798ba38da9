"""python -m tests.benchmarks.modes [--chunks 10000] [--searches 200]: the processor time of a search in each mode.

One client, one search at a time, in the modes of tests.benchmarks.load, on an embedded server in a temporary folder.
Prints one JSON object: for each mode the mean milliseconds of processor time of the client and of its server process,
and the median of the clock. Processor time says how many searches the cores of a machine can answer: with 10 ms for
each, two cores answer 200 in a second, however many ask.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from rag_assets import Client
from rag_assets.db.database import dispose_engines, shared_engine
from rag_assets.db.server.server import EmbeddedServer
from rag_assets.settings.settings import load_settings
from tests.benchmarks import synthetic
from tests.benchmarks.bare import connect_bare
from tests.benchmarks.clustered import Corpus
from tests.benchmarks.load.installation import configure
from tests.benchmarks.load.searchers import MODES, K

WARM_UP = 10
_TICKS = os.sysconf("SC_CLK_TCK")
_READERS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE '%read'"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--searches", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rag-modes-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        settings = configure(Path(folder))
        server = EmbeddedServer.at(settings.state_dir)
        try:
            synthetic.fill(shared_engine(settings), arguments.chunks)
            print(json.dumps(measure_modes(arguments.chunks, arguments.searches)))
        finally:
            dispose_engines()
            server.stop()


def measure_modes(chunks: int, searches: int) -> dict[str, dict[str, float]]:
    texts = Corpus(chunks, per_document=synthetic.PER_DOCUMENT).questions(synthetic.QUESTIONS).texts
    found = {}
    with Client() as client, connect_bare(shared_engine(load_settings()).url, {}) as watcher:
        client.warm_up()
        # No messages are stored here.
        for mode in [mode for mode in MODES if mode != "messages"]:
            options = {"k": K, **MODES[mode]}
            asked = [f"{text} {number}" if mode == "new_text" else text for number, text in enumerate(texts)]
            for text in asked[:WARM_UP]:
                client.search(text, **options)
            servers = [pid for (pid,) in watcher.execute(_READERS).fetchall()]
            before, ticks, times = time.process_time(), sum(map(_ticks, servers)), []
            for text in asked[WARM_UP : WARM_UP + searches]:
                began = time.perf_counter()
                client.search(text, **options)
                times.append((time.perf_counter() - began) * 1000)
            found[mode] = {
                "client_ms": round((time.process_time() - before) * 1000 / len(times), 2),
                "server_ms": round((sum(map(_ticks, servers)) - ticks) * 1000 / _TICKS / len(times), 2),
                "p50_ms": round(statistics.median(times), 2),
            }
    return found


def _ticks(pid: int) -> int:
    """The processor time of a process, in the system's ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


if __name__ == "__main__":
    main()
