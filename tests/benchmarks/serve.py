"""python -m tests.benchmarks.serve [--vectors 10000] [--seconds 10] [--rounds 3]: what HTTP costs a search.

Prints one JSON object, with an object for each mode, `vector` (the query is a vector) and `hybrid` (a text):

- `qps`, `http_qps`: searches per second of 32 clients: tasks over one `AsyncRetriever` in one process, and users of
  Locust over `rag-assets serve`. `qps_ratio` is the second by the first.
- `p95_ms`, `http_p95_ms`: one client, each question by both in turn. `p95_extra_ms` is the difference.
- `errors`: answers over HTTP that were no hits.

Both sides ask the same questions of one database, k = 10, on the default settings. Nothing caches answers; the vectors
of the texts are stored before, so that no model runs. Figures are medians of the rounds. Needs `pip install locust`.
The load generator shares the processors with the server: on two cores, it takes its part of `http_qps`.
"""

import argparse
import asyncio
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Engine

from rag_assets.db.connections.engines import make_async_engine, make_engine
from rag_assets.db.connections.options import EngineOptions
from rag_assets.search.async_retriever import AsyncRetriever
from rag_assets.serve.access.keys import add_key
from rag_assets.settings.settings import Settings
from tests.benchmarks.clustered import Corpus
from tests.benchmarks.search import database_server, filled_database
from tests.benchmarks.timing import measure_latencies, measure_throughput
from tests.support.installation.server_process import running_web_server

K = 10
QUESTIONS = 200
CLIENTS = 32
LOCUSTFILE = """
import itertools, json, os
from locust import FastHttpUser, constant, task

BODIES = json.load(open(os.environ["BODIES"]))
numbers = itertools.count()


class Caller(FastHttpUser):
    wait_time = constant(0)

    def on_start(self):
        self.at = next(numbers) * 7
        self.headers = {"Authorization": "Bearer " + os.environ["KEY"], "Content-Type": "application/json"}

    @task
    def search(self):
        self.at += 1
        body = BODIES[self.at % len(BODIES)]
        with self.client.post("/v1/search", data=body, headers=self.headers, catch_response=True) as response:
            if response.status_code != 200 or b'"rank":1,' not in response.content:
                response.failure("no hits")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement of throughput")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--locust", default=sys.executable, help="a Python that has Locust")
    arguments = parser.parse_args()
    if arguments.locust == sys.executable and find_spec("locust") is None:
        raise SystemExit("locust is not installed; run: pip install locust, or name a Python that has it by --locust.")
    with (
        database_server() as admin,
        filled_database(admin, arguments.vectors) as (engine, _),
        tempfile.TemporaryDirectory(prefix="rag-serve-") as folder,
    ):
        print(json.dumps(measure(engine, Path(folder), arguments)))


def measure(engine: Engine, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    writer = make_engine(engine.url)
    with writer.begin() as connection:
        key = add_key(connection, "benchmark").token
    writer.dispose()
    os.environ["RAG_ASSETS_DATABASE_URL"] = engine.url.render_as_string(hide_password=False)
    os.environ["RAG_ASSETS_STATE_DIR"] = str(folder / "state")
    questions = Corpus(arguments.vectors).questions(QUESTIONS)
    queries: dict[str, Sequence[Any]] = {
        "vector": [[float(number) for number in vector] for vector in questions.vectors],
        "hybrid": list(questions.texts),
    }
    found: dict[str, Any] = {}
    # Until it is ready it loads the model, beside the answers.
    with running_web_server(folder) as server:
        for mode, asked in queries.items():
            bodies = [json.dumps({"query": query, "k": K, "mode": mode}) for query in asked]
            figures = latencies(engine, server.url, key, mode, asked, bodies, arguments.rounds)
            rates, errors = [], 0
            plain = []
            # In turn, so that both meet the same load.
            for _ in range(arguments.rounds):
                plain.append(asyncio.run(retriever_qps(engine, mode, asked, arguments.seconds)))
                rate, failures = locust_qps(folder, server.url, key, bodies, arguments)
                rates.append(rate)
                errors += failures
            qps, http_qps = statistics.median(plain), statistics.median(rates)
            figures |= {"qps": round(qps, 1), "http_qps": round(http_qps, 1), "qps_ratio": round(http_qps / qps, 3)}
            found[mode] = figures | {"errors": errors}
    return found


def latencies(
    engine: Engine, url: str, key: str, mode: Any, queries: Sequence[Any], bodies: Sequence[str], rounds: int
) -> dict[str, float]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    with asyncio.Runner() as runner:
        asynchronous = make_async_engine(engine.url, options=EngineOptions.from_settings(Settings(), "read"))
        retriever = AsyncRetriever(asynchronous, Settings())

        def ask_retriever(question: int) -> None:
            answer = runner.run(retriever.search(queries[question], k=K, mode=mode))
            assert answer.hits

        def ask_server(question: int) -> None:
            connection.request("POST", "/v1/search", bodies[question], headers)
            response = connection.getresponse()
            assert b'"rank":1,' in response.read()

        measured = measure_latencies({"plain": ask_retriever, "http": ask_server}, len(queries), rounds)
        runner.run(asynchronous.dispose())
    connection.close()
    plain, by_http = measured["plain"]["p95_ms"], measured["http"]["p95_ms"]
    return {"p95_ms": plain, "http_p95_ms": by_http, "p95_extra_ms": round(by_http - plain, 3)}


async def retriever_qps(engine: Engine, mode: Any, queries: Sequence[Any], seconds: float) -> float:
    asynchronous = make_async_engine(engine.url, options=EngineOptions.from_settings(Settings(), "read"))
    retriever = AsyncRetriever(asynchronous, Settings())
    numbers = count()

    async def ask(_: int) -> Any:
        return await retriever.search(queries[next(numbers) % len(queries)], k=K, mode=mode)

    found = await measure_throughput({"plain": [ask] * CLIENTS}, seconds=seconds, rounds=1)
    await asynchronous.dispose()
    return found["plain"]


def locust_qps(
    folder: Path, url: str, key: str, bodies: Sequence[str], arguments: argparse.Namespace
) -> tuple[float, int]:
    """Answers per second, and failures."""
    (folder / "locustfile.py").write_text(LOCUSTFILE)
    (folder / "bodies.json").write_text(json.dumps(bodies))
    command = [arguments.locust, "-m", "locust", "-f", folder / "locustfile.py", "--headless", "--host", url]
    command += ["-u", str(CLIENTS), "-r", str(CLIENTS), "-t", f"{arguments.seconds:g}s", "--json", "--reset-stats"]
    env = os.environ | {"BODIES": str(folder / "bodies.json"), "KEY": key}
    env.pop("PYTHONPATH", None)
    result = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)
    stats = json.loads(result.stdout[result.stdout.index("[") :])[0]
    seconds = stats["last_request_timestamp"] - stats["start_time"]
    return stats["num_requests"] / seconds, stats["num_failures"]


if __name__ == "__main__":
    main()
