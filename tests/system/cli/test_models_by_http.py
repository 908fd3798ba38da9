"""The installed command with a model over HTTP, where no model library may be imported."""

import json
import os
from pathlib import Path

from sqlalchemy import Engine

from rag_assets.settings.settings import Settings
from tests.support.embedding_server.behaviours import delay, fail
from tests.support.embedding_server.server import running_embedding_server
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import write
from tests.system.cli.test_processes import run_command

KEY = "sk-secret-5f3a"
MODEL_LIBRARIES = ("torch", "transformers", "sentence_transformers")


def test_each_text_is_sent_once_without_model_libraries(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    for library in MODEL_LIBRARIES:
        write(tmp_path / "libraries" / library / "__init__.py", f"raise RuntimeError('{library} was imported')")
    for number in range(20):
        write(tmp_path / "zoo" / f"{number}.md", f"# Animal {number}\n\nIt eats {number} leaves.\n")
    questions = write(tmp_path / "questions.jsonl", json.dumps({"query": "Who eats leaves?", "relevant": {"3.md": 1}}))
    with running_embedding_server() as server:
        server.misbehave(delay(0.02))
        server.misbehave(fail(429, f"slow down, {KEY}", Retry_After="0.1"), times=1)
        environment = {
            "PYTHONPATH": os.pathsep.join([str(tmp_path / "libraries"), os.environ.get("PYTHONPATH", "")]),
            **server.settings,
            "RAG_ASSETS_EMBEDDING_API_KEY": KEY,
            "RAG_ASSETS_EMBEDDING_PRICE": "0.5",
        }
        ingest = ("ingest", tmp_path / "zoo", "--questions", questions, "--json")
        done = run_command(*ingest, **environment)
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert (report["texts"]["embedded"], report["billed_tokens"], report["cost"]) == (20, 140, 140 * 0.5 / 1e6)
        again = run_command(*ingest, **environment)
        assert json.loads(again.stdout)["texts"]["embedded"] == 0
        found = run_command("search", "Who eats leaves?", "--json", **environment)
        assert len(json.loads(found.stdout)["hits"]) > 0, found.stderr
        texts = [text for (text,) in rows(engine, "SELECT DISTINCT chunk_text FROM rag.document_chunks")]
        assert sorted(server.accepted) == sorted([*texts, "Who eats leaves?"])
    assert KEY not in done.stderr + done.stdout + again.stderr + found.stderr
    # Neither in what Dagster keeps nor in logs.
    for file in settings.state_dir.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file


def test_an_ingest_submits_a_batch_and_a_later_one_serves_it(engine: Engine, tmp_path: Path) -> None:
    for number in range(8):
        write(tmp_path / "zoo" / f"{number}.md", f"# Animal {number}\n\nIt eats {number} leaves.\n")
    with running_embedding_server() as server:
        environment = {**server.settings, "RAG_ASSETS_EMBEDDING_BATCH": "true"}
        submitted = run_command("ingest", tmp_path / "zoo", "--json", **environment)
        assert submitted.returncode == 0, submitted.stderr
        report = json.loads(submitted.stdout)
        assert (report["texts"]["submitted"], report["texts"]["embedded"], report["vectors"]) == (8, 0, 0)
        warned = {check["name"] for check in report["checks"] if not check["passed"]}
        assert warned == {"texts_have_vectors", "serves_wanted_space"}
        server.batches.complete()
        fetched = run_command("ingest", "--project", "zoo", "--json", **environment)
        assert fetched.returncode == 0, fetched.stderr
        report = json.loads(fetched.stdout)
        assert (report["texts"]["embedded"], report["vectors"]) == (8, 8)
        assert all(check["passed"] for check in report["checks"])
        assert len(server.batches.sent) == 8
