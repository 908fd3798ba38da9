"""python -m tests.benchmarks.splitting [--edits 3] [--files FOLDER]: how full chunks are, and how far an edit reaches.

Splits the descriptions of the installed packages (Markdown), Python's documentation topics (reStructuredText) and
modules of its standard library, for the model's window and with RAG_ASSETS_CHUNK_FILL as it is set; with --files, also
the Markdown files of a folder. Prints one JSON object. For each corpus: `chunks` and their mean `characters`; `fill`,
the share of the window that the chunks take of documents that do not fit one chunk (`fill_all`: of all documents); and
the mean number of new texts, `texts`, and of their tokens, `tokens`, after an edit (a line inserted, a word replaced, a
paragraph deleted) at a random place.
"""

import argparse
import json
import random
import re
import statistics
import sysconfig
from collections.abc import Callable, Iterator
from importlib.metadata import distributions
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from rag_assets.documents.splitting.splitter import Piece, Splitter
from rag_assets.embedding.model import find_model
from rag_assets.pipeline.target.chunking import content_window, model_tokenizer
from rag_assets.settings.settings import load_settings

MODULES = 60
Edit = Callable[[str, random.Random], str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=3, help="edits of each kind in every document")
    parser.add_argument("--files", type=Path)
    arguments = parser.parse_args()
    splitter = model_splitter()
    corpora: dict[str, tuple[list[str], str]] = {
        "packages": (sorted(set(package_descriptions())), "markdown"),
        "topics": (list(topics.values()), "rst"),
        "modules": (standard_modules(), "python"),
    }
    if arguments.files:
        corpora["files"] = ([path.read_text() for path in sorted(arguments.files.rglob("*.md"))], "markdown")
    report = {name: measure(splitter, *corpus, arguments.edits) for name, corpus in corpora.items()}
    print(json.dumps({"window": splitter.max_tokens, **report}))


def model_splitter() -> Splitter:
    settings = load_settings()
    model = find_model(settings.model)
    tokenizer = model_tokenizer(model)
    return Splitter(tokenizer, max_tokens=content_window(model, tokenizer), fill=settings.chunk_fill)


def package_descriptions() -> Iterator[str]:
    for found in distributions():
        text = found.metadata.json.get("description")
        if "markdown" in (found.metadata["Description-Content-Type"] or "") and isinstance(text, str):
            yield text


def standard_modules() -> list[str]:
    folder = Path(sysconfig.get_path("stdlib"))
    return [path.read_text() for path in sorted(folder.glob("*.py"))[:MODULES]]


def measure(splitter: Splitter, texts: list[str], file_type: str, edits: int) -> dict[str, Any]:
    before = [splitter.split(text, file_type) for text in texts]
    pieces = [piece for own in before for piece in own]
    in_long = [piece.token_count for own in before if len(own) > 1 for piece in own]
    return {
        "documents": len(texts),
        "chunks": len(pieces),
        "characters": round(statistics.mean(len(piece.text) for piece in pieces)),
        "fill": round(statistics.mean(in_long) / splitter.max_tokens, 3),
        "fill_all": round(statistics.mean(piece.token_count for piece in pieces) / splitter.max_tokens, 3),
        "edits": {name: _reach(splitter, texts, before, file_type, edit, edits) for name, edit in EDITS.items()},
    }


def _reach(
    splitter: Splitter, texts: list[str], before: list[list[Piece]], file_type: str, edit: Edit, edits: int
) -> dict[str, float]:
    chance = random.Random(7)
    counts, tokens = [], []
    for text, pieces in zip(texts, before, strict=True):
        known = {piece.text for piece in pieces}
        for _ in range(edits):
            new = {piece.text: piece for piece in splitter.split(edit(text, chance), file_type)}
            changed = [piece.token_count for text, piece in new.items() if text not in known]
            counts.append(len(changed))
            tokens.append(sum(changed))
    return {"texts": round(statistics.mean(counts), 3), "most": max(counts), "tokens": round(statistics.mean(tokens))}


def _insert_line(text: str, chance: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    at = chance.randrange(len(lines) + 1)
    return "".join([*lines[:at], "This sentence was added later, when somebody had read the page.\n", *lines[at:]])


def _replace_word(text: str, chance: random.Random) -> str:
    words = list(re.finditer(r"[a-z]{4,}", text))
    if not words:
        return text
    word = chance.choice(words)
    return text[: word.start()] + "another" + text[word.end() :]


def _delete_paragraph(text: str, chance: random.Random) -> str:
    paragraphs = text.split("\n\n")
    del paragraphs[chance.randrange(len(paragraphs))]
    return "\n\n".join(paragraphs)


EDITS: dict[str, Edit] = {"line": _insert_line, "word": _replace_word, "paragraph": _delete_paragraph}

if __name__ == "__main__":
    main()
