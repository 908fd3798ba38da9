"""python -m tests.benchmarks.hostile [--mutations 50] [--seed S] [--line-mb 50] [--part 1/4]: hostile files.

Reads every bomb of tests/support/data/hostile, every sample cut off at ten places, and mutations of every sample, each
in the parser's process as an ingest does. Then one line of many megabytes without a space goes through reading,
splitting and embedding, with vectors by hash instead of a model's.

Prints one JSON object: `files`, `read`, `refused`, `without_reason` (documents without text and without a note),
`crashes` (errors that are no sentence about the file), `slowest` (seconds and names), and for the line its chunks, the
share of it that they hold (RAG_ASSETS_MAX_CHUNKS), its seconds of processor time and the peak of memory. Exits with 1
where a file has no reason, or crashed.
"""

import argparse
import json
import random
import resource
import string
import sys
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

from rag_assets.documents.parsing.parser import DocumentParser
from rag_assets.errors import DocumentError
from tests.support.data.hostile import bombs
from tests.support.data.hostile.mutations import cuts, mutations, samples

CRASHED = ("the parser died", "the parser gave up", "exit code")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=50)
    parser.add_argument("--seed", default="seed")
    parser.add_argument("--line-mb", type=int, default=50)
    parser.add_argument("--part", default="1/1", help="every n-th file, from the k-th on: k/n")
    arguments = parser.parse_args()
    first, step = map(int, arguments.part.split("/"))
    found = read_all(islice(hostile_files(arguments.mutations, arguments.seed), first - 1, None, step))
    if arguments.line_mb:
        found["line"] = read_line(arguments.line_mb)
    print(json.dumps(found))
    sys.exit(1 if found["without_reason"] or found["crashes"] else 0)


def hostile_files(number: int, seed: str) -> Iterator[tuple[str, bytes]]:
    groups = (
        bombs.entity_bombs(),
        bombs.nested_files(),
        bombs.unpacking_bombs(),
        bombs.hostile_pdfs(),
        bombs.images(),
        bombs.lines(),
    )
    for group in groups:
        for name, make in group.items():
            yield name, make()
    for name, data in samples().items():
        for damaged in cuts(data):
            yield name, damaged
        for damaged in mutations(data, number, f"{seed} {name}"):
            yield name, damaged


def read_all(files: Iterator[tuple[str, bytes]]) -> dict[str, Any]:
    counts = {"files": 0, "read": 0, "refused": 0}
    without_reason: list[str] = []
    crashes: list[str] = []
    times: list[tuple[float, str]] = []
    with DocumentParser() as parser:
        for name, data in files:
            counts["files"] += 1
            started = time.monotonic()
            try:
                document = parser.parse(name, data)
            except DocumentError as error:
                counts["refused"] += 1
                if any(words in str(error) for words in CRASHED):
                    crashes.append(f"{name}: {error}")
            except Exception as error:
                crashes.append(f"{name}: {type(error).__name__}: {error}")
            else:
                counts["read"] += 1
                if not document.content.strip() and not document.report.notes:
                    without_reason.append(name)
            times.append((round(time.monotonic() - started, 1), name))
    return {**counts, "without_reason": without_reason, "crashes": crashes, "slowest": sorted(times)[:-6:-1]}


def read_line(mb: int) -> dict[str, Any]:
    """One line of letters without a space, as a file without line ends: minified code, base64."""
    from rag_assets.documents.splitting.chunk_limit import first_pieces
    from rag_assets.documents.splitting.splitter import Splitter
    from rag_assets.embedding.model import BUNDLED_MODELS, find_model
    from rag_assets.pipeline.target.chunking import content_window, model_tokenizer
    from rag_assets.settings.settings import load_settings
    from tests.support.fakes import HashEncoder

    letters = (string.ascii_letters + string.digits).encode()
    data = random.Random(1).randbytes(mb * 1_000_000).translate((letters * 5)[:256])
    seconds = {}
    with DocumentParser() as parser:
        started = time.process_time()
        content = parser.parse("line.txt", data).content
        seconds["read"] = time.process_time() - started
    model = find_model(next(iter(BUNDLED_MODELS)))
    tokenizer = model_tokenizer(model)
    started = time.process_time()
    splitter = Splitter(tokenizer, max_tokens=content_window(model, tokenizer))
    most = load_settings().max_chunks
    pieces = first_pieces(len(content), lambda end: splitter.split(content[:end], "text"), most)
    seconds["split"] = time.process_time() - started
    started = time.process_time()
    encoder = HashEncoder()
    for at in range(0, len(pieces), 32):
        encoder.encode([piece.embedded_text for piece in pieces[at : at + 32]])
    seconds["embed"] = time.process_time() - started
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "mb": mb,
        "chunks": len(pieces),
        "searchable_share": round(pieces[-1].char_end / len(content), 3),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "peak_mb": round(peak_kb / 1024),
    }


if __name__ == "__main__":
    main()
