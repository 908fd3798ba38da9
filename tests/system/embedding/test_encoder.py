"""Encoding with a real, small model."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from rag_assets.embedding.encoder import SentenceTransformerEncoder
from rag_assets.embedding.model import find_model
from rag_assets.errors import ServiceError, UsageError
from rag_assets.search.ranking.rerank import CrossEncoderReranker
from rag_assets.search.retriever import Retriever
from rag_assets.settings.settings import Settings
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import Steps, write
from tests.system.embedding.conftest import DIMENSIONS


def test_vectors_are_those_of_sentence_transformers(tiny_model: Path) -> None:
    from sentence_transformers import SentenceTransformer

    texts = ["A short text.", "word " * 40, "🦓 señal"]
    encoder = SentenceTransformerEncoder(find_model(str(tiny_model)), device="cpu")
    loaded = SentenceTransformer(str(tiny_model), device="cpu", local_files_only=True)
    expected = loaded.encode_document(texts, normalize_embeddings=True)
    found = encoder.encode(texts)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    query = encoder.encode_query(texts[0])
    np.testing.assert_allclose(query, loaded.encode_query(texts[0], normalize_embeddings=True), atol=1e-5)
    assert not np.allclose(query, found[0], atol=1e-3), "questions and documents have prompts of their own"


def test_fewer_dimensions_are_the_first_ones_normalized_again(tiny_model: Path) -> None:
    texts = ["A short text.", "word " * 40]
    for name in (str(tiny_model), "sentence-transformers/all-MiniLM-L6-v2"):
        model = find_model(name)
        whole = SentenceTransformerEncoder(model, device="cpu").encode(texts)
        cut = SentenceTransformerEncoder(model, device="cpu", dimensions=16)
        expected = whole[:, :16] / np.linalg.norm(whole[:, :16], axis=1, keepdims=True)
        assert cut.dimensions == 16
        np.testing.assert_allclose(cut.encode(texts), expected, atol=1e-5)
        assert cut.encode_query(texts[0]).shape == (16,)


def test_given_prompts_replace_those_of_the_model(tiny_model: Path) -> None:
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(str(tiny_model), device="cpu", local_files_only=True)
    texts = ["A short text."]
    given = SentenceTransformerEncoder(find_model(str(tiny_model)), device="cpu", prompts={"query": "ask: "})
    plain = loaded.encode(texts, prompt="", normalize_embeddings=True)
    np.testing.assert_allclose(given.encode(texts), plain, atol=1e-5)
    asked = loaded.encode(texts, prompt="ask: ", normalize_embeddings=True)
    np.testing.assert_allclose(given.encode_query(texts[0]), asked[0], atol=1e-5)


def test_another_model_is_built_beside_the_old_one_and_promoted(
    settings: Settings, engine: Engine, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rag_assets.embedding.encoder import get_space_encoder
    from rag_assets.pipeline import refresh
    from tests.support.pipeline.stages import write_batches

    steps = Steps(engine, settings)
    for number in range(20):
        write(tmp_path / "docs" / f"{number}.md", f"Animal number {number} eats {number} leaves.")
    steps.project("zoo", tmp_path / "docs")
    steps.all("zoo")
    steps.live()
    monkeypatch.setenv("RAG_ASSETS_MODEL", str(tiny_model))
    steps.documents("zoo")
    steps.chunks("zoo")
    write_batches(
        engine,
        refresh.refresh_embeddings(
            engine,
            settings,
            ["zoo"],
            steps.target,
            lambda space: get_space_encoder(space, Settings(device="cpu")),
        ),
    )
    steps.index()
    # Until the promotion the old space is searched, with its own model.
    old = Retriever(engine, encoder=steps.encoder).search("Animal number 7 eats 7 leaves.", k=1)
    assert (old.space, old.hits[0].file_path) == (1, "7.md")
    assert steps.live()["promoted"]
    assert rows(engine, "SELECT id, status, dimensions FROM rag.embedding_spaces ORDER BY id") == [
        (1, "previous", 384),
        (2, "live", DIMENSIONS),
    ]
    # By default the model of the space embeds the query, not that of the settings.
    monkeypatch.delenv("RAG_ASSETS_MODEL")
    new = Retriever(engine).search("Animal number 7 eats 7 leaves.", k=20)
    assert new.space == 2
    assert len(new.hits) == 20


@pytest.mark.parametrize("way", ["auto_map", "told to trust", "module"])
def test_code_that_comes_with_a_model_is_not_run(tiny_model: Path, tmp_path: Path, way: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w').close()\nfrom transformers import BertModel\nclass Own(BertModel): pass\n"
    (folder / "own.py").write_text(code)
    trusting = {"trust_remote_code": True}
    if way == "module":
        _change(folder / "modules.json", lambda found: [*found, {"idx": 9, "name": "9", "path": "", "type": "own.Own"}])
    else:
        _change(folder / "config.json", lambda found: found | {"auto_map": {"AutoModel": "own.Own"}})
    if way == "told to trust":
        names = ("model_args", "model_kwargs", "config_args", "config_kwargs", "tokenizer_args", "processor_kwargs")
        _change(folder / "sentence_bert_config.json", lambda found: found | trusting | dict.fromkeys(names, trusting))
    with suppress(ServiceError):
        SentenceTransformerEncoder(find_model(str(folder)), device="cpu").encode(["A text."])
    with suppress(ServiceError, UsageError):
        CrossEncoderReranker(str(folder)).score("A query.", ["A text."])
    assert not ran.exists()


def _change(file: Path, change: Callable[[Any], Any]) -> None:
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
