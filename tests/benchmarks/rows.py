"""Rows of a table: seconds and peak memory of listing them, reading them, and taking their vectors.

`first_run` and `second_run` are the stage `raw_documents` over all rows, written to the database, in a process each.

    python -m tests.benchmarks.rows --rows 1000000

Prints one JSON object. The table is in the embedded PostgreSQL; this process is only the reader.
"""

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path

from sqlalchemy import make_url, text

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.connections.urls import DRIVER
from rag_assets.documents.sources.globs import Selection
from rag_assets.documents.sources.rows.source import RowSource, open_rows
from rag_assets.testing import temporary_database

DIMENSIONS = 8
FILL = f"""
INSERT INTO items SELECT n, 'The text of row ' || n || repeat(' and more of it', 10), 'en', n, now(),
  ARRAY(SELECT random() FROM generate_series(1, {DIMENSIONS}) WHERE n IS NOT NULL)
FROM generate_series(1, :rows) AS n
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--read", type=int, default=50_000, help="rows to read, and vectors to take")
    options = parser.parse_args()
    with temporary_database() as url, tempfile.TemporaryDirectory() as state:
        engine = make_engine(make_url(url).set(drivername=DRIVER))
        with engine.begin() as connection:
            columns = "id int PRIMARY KEY, body text, lang text, price numeric, updated_at timestamptz, v float4[]"
            connection.execute(text(f"CREATE TABLE items ({columns})"))
            connection.execute(text(FILL), {"rows": options.rows})
        engine.dispose()
        found = {"rows": options.rows, "start_mb": peak_mb()}
        for name, version in (("by_version", "&version=updated_at"), ("by_hash", "")):
            with closing(open_table(url, version, state)) as source:
                found[f"list_{name}_s"] = seconds(lambda: sum(1 for _ in source.list()))
        found["listed_peak_mb"] = peak_mb()
        with closing(open_table(url, "&version=updated_at&vector=v", state)) as source:
            paths = [file.path for file in islice(source.list(), options.read)]
            found["read"] = len(paths)
            found["read_s"] = seconds(lambda: sum(len(source.read(path).content) for path in paths))
            parts = [paths[start : start + 500] for start in range(0, len(paths), 500)]
            found["vectors_s"] = seconds(lambda: sum(len(source.read_vectors(part)) for part in parts))
        found["peak_mb"] = peak_mb()
        for name in ("first_run", "second_run"):
            found |= run_stage(url, state, name)
        print(json.dumps(found))


def open_table(url: str, parameters: str, state: str) -> RowSource:
    server, _, query = url.partition("?")
    address = (
        f"sql+{server.replace('+psycopg', '')}?table=items&id=id&text=body&metadata=lang,price{parameters}&{query}"
    )
    account, _, host = address.rpartition("@")
    scheme, _, user = account.partition("://")
    name, _, password = user.partition(":")
    return open_rows(f"{scheme}://{name}@{host}", Selection(), state_dir=Path(state), password=password or None)


def run_stage(url: str, state: str, name: str) -> dict[str, float]:
    """Seconds and peak memory of one run of raw_documents, in a new process."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=_refresh, args=(url, state, results))
    process.start()
    took, peak = results.get()
    process.join()
    return {f"{name}_s": took, f"{name}_peak_mb": peak}


def _refresh(url: str, state: str, results: "multiprocessing.Queue[tuple[float, float]]") -> None:
    from rag_assets.db.database import writable_engine
    from rag_assets.pipeline.refresh import refresh_documents
    from rag_assets.pipeline.stages.write_batch import write_batch
    from rag_assets.projects.store import save_project
    from rag_assets.settings.settings import Settings

    os.environ["RAG_ASSETS_SOURCE_ITEMS_PASSWORD"] = make_url(url).password or ""
    with closing(open_table(url, "&version=updated_at", state)) as source:
        uri = source.uri
    settings = Settings(database_url=url, state_dir=Path(state))
    engine = writable_engine(settings)
    with engine.begin() as connection:
        save_project(connection, "items", uri, {})

    def run() -> None:
        for batch in refresh_documents(engine, settings, ["items"]):
            with engine.begin() as connection:
                write_batch(connection, batch)

    results.put((seconds(run), peak_mb()))


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return round(time.perf_counter() - started, 2)


def peak_mb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


if __name__ == "__main__":
    main()
