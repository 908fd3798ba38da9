"""The heavy libraries that importing a part of the package must not load, each in a fresh process."""

import subprocess
import sys

import pytest

LIBRARY = [
    *(
        "rag_assets.db.spaces.spaces",
        "rag_assets.db.index.build",
        "rag_assets.db.writes.upserts",
        "rag_assets.pipeline.status",
    ),
    *(
        "rag_assets.repositories",
        "rag_assets.db.schema.migrations",
        "rag_assets.search.retriever",
        "rag_assets.pipeline.audit.promotion",
        "rag_assets.pipeline.refresh",
    ),
    *(
        "rag_assets.documents.parsing.parser",
        "rag_assets.documents.splitting.splitter",
        "rag_assets.documents.sources",
        "rag_assets.embedding.encoder",
    ),
    *(
        "rag_assets.search.analysis.aggregates",
        "rag_assets.search.analysis.provenance",
        "rag_assets.search.ranking.rerank",
    ),
    *("rag_assets.search.kinds.messages", "rag_assets.search.kinds.memories", "rag_assets.embedding.long_texts"),
]


def import_in_new_process(module: str) -> set[str]:
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_library_modules_import_neither_dagster_nor_model_libraries() -> None:
    heavy = {"dagster", "torch", "transformers", "sentence_transformers", "pandas", "polars", "pyarrow", "kreuzberg"}
    assert import_in_new_process(", ".join(LIBRARY)) & heavy == set()


def test_search_modules_do_not_import_numpy() -> None:
    searching = "rag_assets.search.retriever, rag_assets.search.async_retriever"
    heavy = {"dagster", "torch", "transformers", "sentence_transformers", "numpy", "pandas", "alembic"}
    assert import_in_new_process(searching) & heavy == set()


def test_the_code_location_imports_neither_database_nor_model_libraries() -> None:
    heavy = {"sqlalchemy", "psycopg", "pgvector", "numpy", "torch", "sentence_transformers", "tokenizers"}
    assert import_in_new_process("rag_assets.definitions") & heavy == set()


@pytest.mark.parametrize(
    "name", ["Client", "AsyncClient", "Filters", "Answer", "Hit", "Settings", "SourceFile", "UsageError"]
)
def test_public_names_import_neither_dagster_nor_model_libraries(name: str) -> None:
    heavy = ("dagster", "torch", "numpy", "sentence_transformers", "pyarrow", "pandas", "xberg")
    code = f"import sys; from rag_assets import {name}; print([one for one in {heavy} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout == "[]\n"


def test_imports_of_the_first_readme_work() -> None:
    code = """
from rag_assets.db.engine import shared_async_engine, shared_engine
from rag_assets.db.pools import pool_statistics
from rag_assets.db.repositories import SyncBulk
from rag_assets.db.retry import reading_async, writing_async
from rag_assets.db.shutdown import close_async_engines
from rag_assets.search.retriever import Retriever
from rag_assets.search.async_retriever import AsyncRetriever
from rag_assets.settings import load_settings
from rag_assets.history import SqliteHistory
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, timeout=300)
