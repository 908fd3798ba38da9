"""Rows of a table: seconds and peak memory of listing them, reading them, and taking their vectors.

    python -m tests.benchmarks.rows --rows 1000000

Prints one JSON object. The table is in the embedded PostgreSQL; this process is only the reader.
"""

import argparse
import json
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


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return round(time.perf_counter() - started, 2)


def peak_mb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


if __name__ == "__main__":
    main()
