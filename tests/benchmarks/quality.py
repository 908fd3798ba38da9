"""python -m tests.benchmarks.quality [--questions FILE] [--project NAME] [--modes vector,…]: how well searches find.

Prints one JSON object a mode and line, as `rag-assets evaluate --json` does. With --project, the installation of the
environment is asked as it is. Else a temporary one is made: it ingests Python's documentation topics for the questions
that lie beside this file or that --questions names, and where that is a folder in BEIR's layout, its corpus, one file
`<document id>.txt` (title, blank line, text) a document. A mode that searches do not have is left out.
"""

import argparse
import inspect
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from rag_assets.sources import TOPICS_URI
from tests.benchmarks.ingest import installation

TOPICS_QUESTIONS = Path(__file__).with_name("topics_questions.jsonl")
MODES = ("vector", "text", "hybrid")
CLI = [sys.executable, "-c", "from rag_assets.cli.main import main; main()"]
PROJECT = "judged"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=Path, default=TOPICS_QUESTIONS)
    parser.add_argument("--project")
    parser.add_argument("--modes", help="those that searches have, by default")
    arguments = parser.parse_args()
    modes = arguments.modes.split(",") if arguments.modes else known_modes()
    if arguments.project is not None:
        evaluate(dict(os.environ), arguments.questions, arguments.project, modes)
        return
    with installation() as environment, tempfile.TemporaryDirectory(prefix="rag-bench-corpus-") as folder:
        source = TOPICS_URI
        if (arguments.questions / "corpus.jsonl").is_file():
            write_corpus(arguments.questions / "corpus.jsonl", Path(folder))
            source = folder
        ingest = [*CLI, "ingest", source, "--project", PROJECT, "--json"]
        subprocess.run(ingest, env=environment, check=True, stdout=subprocess.DEVNULL)
        evaluate(environment, arguments.questions, PROJECT, modes)


def known_modes() -> list[str]:
    from rag_assets.search.retriever import Retriever

    return [mode for mode in MODES if mode == "vector" or "mode" in inspect.signature(Retriever.search).parameters]


def evaluate(environment: dict[str, str], questions: Path, project: str, modes: list[str]) -> None:
    for mode in modes:
        command = [*CLI, "evaluate", str(questions), "--project", project, "--mode", mode, "--json"]
        subprocess.run(command, env=environment, check=True)


def write_corpus(corpus: Path, folder: Path) -> None:
    """A file for each document, named so that `document_ids` knows it again."""
    with corpus.open(encoding="utf-8") as lines:
        for line in lines:
            document = json.loads(line)
            text = "\n\n".join(part for part in (document.get("title"), document.get("text")) if part)
            (folder / f"{quote(str(document['_id']), safe='')}.txt").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
