"""A small second model with fixed weights, its own prompts, window and size, and no normalisation."""

from pathlib import Path

import pytest

from rag_assets.embedding.model import find_model

DIMENSIONS = 32
WINDOW = 64
PROMPTS = {"query": "question: ", "document": "this is a passage of a document: "}


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    folder = tmp_path_factory.mktemp("tiny")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = BertConfig(
            hidden_size=DIMENSIONS, num_hidden_layers=1, num_attention_heads=2, intermediate_size=DIMENSIONS
        )
        BertModel(config).save_pretrained(folder / "bert")
    path = find_model("sentence-transformers/all-MiniLM-L6-v2").path
    AutoTokenizer.from_pretrained(path).save_pretrained(folder / "bert")
    module = Transformer(str(folder / "bert"), max_seq_length=WINDOW)
    model = SentenceTransformer(modules=[module, Pooling(DIMENSIONS)], prompts=PROMPTS, device="cpu")
    model.save(str(folder / "model"))
    return folder / "model"
