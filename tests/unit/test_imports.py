"""What importing a part of the package brings in, in a fresh process."""

import subprocess
import sys

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


def loaded(module: str) -> set[str]:
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_library_is_imported_without_dagster_and_without_any_model() -> None:
    heavy = {"dagster", "torch", "transformers", "sentence_transformers", "pandas", "polars", "pyarrow", "kreuzberg"}
    assert loaded(", ".join(LIBRARY)) & heavy == set()


def test_searching_is_imported_without_numbers_of_a_model() -> None:
    searching = "rag_assets.search.retriever, rag_assets.search.async_retriever"
    heavy = {"dagster", "torch", "transformers", "sentence_transformers", "numpy", "pandas", "alembic"}
    assert loaded(searching) & heavy == set()


def test_the_code_location_is_loaded_without_database_and_model() -> None:
    heavy = {"sqlalchemy", "psycopg", "pgvector", "numpy", "torch", "sentence_transformers", "tokenizers"}
    assert loaded("rag_assets.definitions") & heavy == set()
