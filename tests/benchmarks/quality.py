"""python -m tests.benchmarks.quality [--questions FILE] [--project NAME] [--modes vector,…]: quality of searches.

Prints a line of JSON per mode, as `rag-assets evaluate --json` does. --project searches the configured installation.
Otherwise a temporary installation ingests Python's documentation topics for the evaluation queries beside this file or
in --questions. If --questions is a folder in BEIR's layout, its corpus is ingested instead, with one file
`<document id>.txt` (title, blank line, text) per document.

With `--sets FOLDER` (made by `python -m tests.benchmarks.judged FOLDER`) the topics and all sets of the folder are
ingested, each as a project, and a Markdown table of nDCG@10 is printed: a row per variant, a column per set, and the
gain of the variant over vector search. The variants are the modes and those of these options:

    --chunk-tokens N, --overlap-tokens N   other sizes of chunks
    --chunk-fill short|full                how full chunks are
    --titles                               title and heading path embedded before the text of each chunk
    --prompt TEXT                          prefix of each query; may be repeated
    --ef-search N,…                        other numbers of candidates in vector search
    --fusions CONSTANT:WEIGHT:DEPTH,…      other rank fusions; WEIGHT is that of vector search, the rest of keywords
    --scores WEIGHT,…                      fusion of scores instead of ranks (see `relative_score_fusion`)
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from rag_assets.documents.sources import TOPICS_URI
from tests.benchmarks.ingest import installation

TOPICS_QUESTIONS = Path(__file__).with_name("topics_questions.jsonl")
CLI = [sys.executable, "-c", "from rag_assets.cli.main import main; main()"]
PROJECT = "judged"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=Path, default=TOPICS_QUESTIONS)
    parser.add_argument("--project")
    parser.add_argument("--modes", default="vector,text,hybrid")
    parser.add_argument("--sets", type=Path)
    parser.add_argument("--only", type=lambda text: text.split(","), help="only the sets with these names")
    parser.add_argument("--chunk-tokens", type=int)
    parser.add_argument("--chunk-fill", choices=("short", "full"))
    parser.add_argument("--overlap-tokens", type=int)
    parser.add_argument("--titles", action="store_true")
    parser.add_argument("--prompt", action="append", default=[])
    parser.add_argument("--ef-search", type=parse_numbers, default=[])
    parser.add_argument("--fusions", type=lambda text: [parse_numbers(one, ":") for one in text.split(",")], default=[])
    parser.add_argument("--scores", type=parse_numbers, default=[])
    arguments = parser.parse_args()
    modes = arguments.modes.split(",")
    if arguments.project is not None:
        evaluate(dict(os.environ), arguments.questions, arguments.project, modes)
        return
    with installation() as environment, tempfile.TemporaryDirectory(prefix="rag-bench-corpus-") as folder:
        for name in ("chunk_tokens", "overlap_tokens", "chunk_fill"):
            if getattr(arguments, name) is not None:
                environment[f"RAG_ASSETS_{name.upper()}"] = str(getattr(arguments, name))
        if arguments.sets is not None:
            compare_variants(environment, arguments, modes)
            return
        source = TOPICS_URI
        if (arguments.questions / "corpus.jsonl").is_file():
            write_corpus(arguments.questions / "corpus.jsonl", Path(folder))
            source = folder
        ingest(environment, source, PROJECT)
        evaluate(environment, arguments.questions, PROJECT, modes)


def parse_numbers(text: str, between: str = ",") -> list[float]:
    return [float(one) for one in text.split(between)]


def ingest(environment: dict[str, str], source: str, project: str) -> None:
    command = [*CLI, "ingest", source, "--project", project, "--json"]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


def evaluate(environment: dict[str, str], questions: Path, project: str, modes: list[str]) -> None:
    for mode in modes:
        command = [*CLI, "evaluate", str(questions), "--project", project, "--mode", mode, "--json"]
        subprocess.run(command, env=environment, check=True)


def compare_variants(environment: dict[str, str], arguments: argparse.Namespace, modes: list[str]) -> None:
    """Ingest the sets, and evaluate all variants in a child process with the environment of the installation."""
    sources = {"topics": (TOPICS_URI, str(TOPICS_QUESTIONS))}
    for folder in sorted(path.parent for path in arguments.sets.glob("*/questions.jsonl")):
        sources[folder.name] = (str(folder / "corpus"), str(folder / "questions.jsonl"))
    sets = {}
    for name in arguments.only or sources:
        source, sets[name] = sources[name]
        ingest(environment, source, name)
    wanted = {
        "sets": sets,
        "modes": modes,
        "titles": arguments.titles,
        "prompts": arguments.prompt,
        "ef_search": arguments.ef_search,
        "fusions": arguments.fusions,
        "scores": arguments.scores,
    }
    command = [sys.executable, "-m", "tests.benchmarks.variants", json.dumps(wanted)]
    subprocess.run(command, env=environment, check=True)


def write_corpus(corpus: Path, folder: Path) -> None:
    """Write a file for each document, named so that `match_document_ids` finds its id."""
    with corpus.open(encoding="utf-8") as lines:
        for line in lines:
            document = json.loads(line)
            text = "\n\n".join(part for part in (document.get("title"), document.get("text")) if part)
            (folder / f"{quote(str(document['_id']), safe='')}.txt").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
