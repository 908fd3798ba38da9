"""python -m tests.benchmarks.judged FOLDER [--documents N]: evaluation queries from a Debian system.

Writes a folder per set, with `corpus/` (a Markdown file per document) and `questions.jsonl`, for
`python -m tests.benchmarks.quality --sets FOLDER`. Each query has one relevant document, known from how it was made:

- `man`: the query is the line under NAME of a manual page, the document the rest of the page;
- `packages`: the query is the one-line description of an installed package, the document the long description;
- `docstrings`: the query is the first line of a docstring of NumPy, SciPy, pandas or scikit-learn, the document the
  rest;
- `keywords`: the query is the three most distinctive words of a manual page. Keyword search does best here;
- `cloze`: the query is a sentence removed from a manual page, the document the page without it;
- `gist`: the queries of `packages` without the rarer half of the words that they share with their document.

The same machine gives the same sets. Other machines have other pages installed, so that figures differ.
"""

import argparse
import importlib
import inspect
import json
import math
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

MANUALS = Path("/usr/share/man")
PACKAGES = Path("/var/lib/dpkg/status")
MODULES = ["numpy", "numpy.linalg", "numpy.fft", "pandas", "sklearn.metrics", "sklearn.datasets"] + [
    f"scipy.{name}" for name in ("linalg", "signal", "stats", "optimize", "ndimage", "special", "spatial.distance")
]
# Long documents would take most of the time of a run, and short ones have too little text to be found.
MIN_CHARS, MAX_CHARS = 300, 8_000


class EvaluationDocument(NamedTuple):
    """A document and the query that it answers. With an empty query it is only a distractor."""

    name: str
    text: str
    question: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--documents", type=int, default=150, help="documents per set (twice as many packages, which are short)"
    )
    arguments = parser.parse_args()
    pages = list(manual_pages(arguments.documents))
    packages = sort_by_hash(package_descriptions())[: 2 * arguments.documents]
    sets = {
        "man": pages,
        "packages": packages,
        "docstrings": sort_by_hash(docstrings())[: arguments.documents],
        "keywords": ask_by_keywords(pages),
        "cloze": ask_by_removed_sentence(pages),
        "gist": remove_shared_words(packages),
    }
    for name, documents in sets.items():
        write_set(arguments.folder / name, documents)


def manual_pages(wanted: int) -> Iterator[EvaluationDocument]:
    files = [file for section in "2378" for file in (MANUALS / f"man{section}").glob("*.gz")]
    environment = {"MANWIDTH": "100", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}
    for file in sorted(files, key=lambda file: hash_name(file.name)):
        if wanted == 0:
            return
        command = ["man", "--local-file", str(file)]
        shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout
        # Only headings, the header and the footer start at the margin.
        header_and_sections = [part for part in re.split(r"^(?=\S)", shown, flags=re.MULTILINE) if part.strip()]
        sections = header_and_sections[1:-1]
        named = next((one for one in sections if one.startswith("NAME\n")), "")
        line = re.fullmatch(r"[^\u2014\u2013-]*? [\u2014\u2013-]+ (.+)", " ".join(named.removeprefix("NAME\n").split()))
        body = "\n".join(as_markdown(one) for one in sections if one != named)
        if line and MIN_CHARS <= len(body) <= MAX_CHARS:
            wanted -= 1
            yield EvaluationDocument(file.name.removesuffix(".gz"), body, line[1])


def as_markdown(section: str) -> str:
    heading, _, text = section.partition("\n")
    return f"## {heading.strip()}\n\n" + re.sub(r"^ {1,7}", "", text, flags=re.MULTILINE)


def package_descriptions() -> Iterator[EvaluationDocument]:
    seen = set()
    for entry in PACKAGES.read_text("utf-8").split("\n\n"):
        name = re.search(r"^Package: (.+)$", entry, re.MULTILINE)
        described = re.search(r"^Description: (.+)\n((?: .*\n?)+)", entry + "\n", re.MULTILINE)
        if name and described:
            text = re.sub(r"^ \.?", "", described[2], flags=re.MULTILINE).strip()
            # Packages of one source often differ only in the last lines of the description; use one of them.
            if len(text) >= MIN_CHARS and text[:150] not in seen:
                seen.add(text[:150])
                yield EvaluationDocument(name[1], text, described[1])


def docstrings() -> Iterator[EvaluationDocument]:
    seen = set()
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        public = sorted(getattr(module, "__all__", None) or dir(module))
        functions = [name for name in public if not name.startswith("_") and is_function(getattr(module, name, None))]
        for name in functions:
            parts = re.split(r"\n\s*\n", inspect.cleandoc(getattr(module, name).__doc__ or ""))
            while parts and re.match(r"\w+\(", parts[0]):
                del parts[0]
            question, text = " ".join(parts[0].split()) if parts else "", "\n\n".join(parts[1:])[:MAX_CHARS]
            if len(text) >= MIN_CHARS and len(question) <= 200 and question not in seen:
                seen.add(question)
                yield EvaluationDocument(f"{module_name}.{name}", text, question)


def is_function(thing: Any) -> bool:
    return inspect.isroutine(thing) or hasattr(thing, "__wrapped__") or type(thing).__name__ == "ufunc"


def ask_by_keywords(documents: Iterable[EvaluationDocument]) -> Iterator[EvaluationDocument]:
    """Query by the three words with the highest tf-idf that another document has too."""
    documents = list(documents)
    counts = [Counter(split_words(one.text)) for one in documents]
    among = Counter(word for own in counts for word in own)
    for document, own in zip(documents, counts, strict=True):
        known = [word for word in own if among[word] > 1 and len(word) > 3]
        best = sorted(known, key=lambda word: (-own[word] * math.log(len(documents) / among[word]), word))
        yield document._replace(question=" ".join(best[:3]))


def ask_by_removed_sentence(documents: Iterable[EvaluationDocument]) -> Iterator[EvaluationDocument]:
    """Inverse cloze: Lee, Chang and Toutanova, "Latent Retrieval for Weakly Supervised Open Domain QA" (2019)."""
    for document in documents:
        text = " ".join(document.text.split())
        sentences = re.findall(r"(?<=[.:] )[A-Z][^.:]{40,200}\.(?=\s)", text)
        if sentences:
            taken = min(sentences, key=hash_name)
            where = r"\s+".join(re.escape(word) for word in taken.split())
            yield document._replace(question=taken, text=re.sub(where, "", document.text))


def remove_shared_words(documents: Iterable[EvaluationDocument]) -> Iterator[EvaluationDocument]:
    documents = list(documents)
    among = Counter(word for one in documents for word in set(split_words(one.text)))
    for document in documents:
        shared = set(split_words(document.question)) & set(split_words(document.text))
        rarer = set(sorted(shared, key=lambda word: (among[word], word))[: (len(shared) + 1) // 2])
        left = [word for word in document.question.split() if not rarer & set(split_words(word))]
        # Fewer than three words are too few to find the document, which stays as a distractor.
        yield document._replace(question=" ".join(left) if len(left) >= 3 else "")


def split_words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def hash_name(name: str) -> bytes:
    return sha256(name.encode()).digest()


def sort_by_hash(documents: Iterable[EvaluationDocument]) -> list[EvaluationDocument]:
    return sorted(documents, key=lambda one: hash_name(one.name))


def write_set(folder: Path, documents: Iterable[EvaluationDocument]) -> None:
    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    with (folder / "questions.jsonl").open("w", encoding="utf-8") as questions:
        for document in documents:
            path = re.sub(r"[^\w.+-]", "_", document.name) + ".md"
            (folder / "corpus" / path).write_text(f"# {document.name}\n\n{document.text}\n", "utf-8")
            if document.question:
                questions.write(json.dumps({"query": document.question, "relevant": {path: 1}}) + "\n")


if __name__ == "__main__":
    main()
