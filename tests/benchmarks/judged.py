"""python -m tests.benchmarks.judged FOLDER [--documents N]: judged questions, made of what a Debian machine has.

Makes a folder a set, with `corpus/` (a Markdown file a document) and `questions.jsonl`, as
`python -m tests.benchmarks.quality --sets FOLDER` takes them. Each question has one right document, known by how it
was made:

- `man`: the line under NAME of a manual page asks for the rest of the page;
- `packages`: the one-line description of an installed package asks for the long one;
- `docstrings`: the first line of a docstring of NumPy, SciPy, pandas or scikit-learn asks for what follows it;
- `keywords`: the three words that stand out in a manual page ask for it: here words find more than meaning does;
- `cloze`: a sentence taken out of a manual page asks for the page that lacks it;
- `gist`: the questions of `packages` without the rarer half of the words that they share with the answer.

The same machine gives the same sets; on another one, other pages are installed and figures differ.
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
# Long documents would take most of the time of a run, and short ones say too little to be found by.
LEAST_CHARS, MOST_CHARS = 300, 8_000


class Judged(NamedTuple):
    """A document, and the question that it answers; an empty one asks nothing."""

    name: str
    text: str
    question: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--documents", type=int, default=150, help="of a set (of packages, which are short, twice that)"
    )
    arguments = parser.parse_args()
    pages = list(manual_pages(arguments.documents))
    packages = by_hash(package_descriptions())[: 2 * arguments.documents]
    sets = {
        "man": pages,
        "packages": packages,
        "docstrings": by_hash(docstrings())[: arguments.documents],
        "keywords": with_keywords(pages),
        "cloze": with_a_sentence_taken_out(pages),
        "gist": without_shared_words(packages),
    }
    for name, documents in sets.items():
        write(arguments.folder / name, documents)


def manual_pages(wanted: int) -> Iterator[Judged]:
    files = [file for section in "2378" for file in (MANUALS / f"man{section}").glob("*.gz")]
    environment = {"MANWIDTH": "100", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}
    for file in sorted(files, key=lambda file: hashed(file.name)):
        if wanted == 0:
            return
        command = ["man", "--local-file", str(file)]
        shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout
        # Only headings, the header and the footer begin at the margin.
        header_and_sections = [part for part in re.split(r"^(?=\S)", shown, flags=re.MULTILINE) if part.strip()]
        sections = header_and_sections[1:-1]
        named = next((one for one in sections if one.startswith("NAME\n")), "")
        line = re.fullmatch(r"[^\u2014\u2013-]*? [\u2014\u2013-]+ (.+)", " ".join(named.removeprefix("NAME\n").split()))
        body = "\n".join(as_markdown(one) for one in sections if one != named)
        if line and LEAST_CHARS <= len(body) <= MOST_CHARS:
            wanted -= 1
            yield Judged(file.name.removesuffix(".gz"), body, line[1])


def as_markdown(section: str) -> str:
    heading, _, text = section.partition("\n")
    return f"## {heading.strip()}\n\n" + re.sub(r"^ {1,7}", "", text, flags=re.MULTILINE)


def package_descriptions() -> Iterator[Judged]:
    seen = set()
    for entry in PACKAGES.read_text("utf-8").split("\n\n"):
        name = re.search(r"^Package: (.+)$", entry, re.MULTILINE)
        described = re.search(r"^Description: (.+)\n((?: .*\n?)+)", entry + "\n", re.MULTILINE)
        if name and described:
            text = re.sub(r"^ \.?", "", described[2], flags=re.MULTILINE).strip()
            # Packages of one source often have the same description but for its last lines; one of them is asked for.
            if len(text) >= LEAST_CHARS and text[:150] not in seen:
                seen.add(text[:150])
                yield Judged(name[1], text, described[1])


def docstrings() -> Iterator[Judged]:
    seen = set()
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        public = sorted(getattr(module, "__all__", None) or dir(module))
        functions = [name for name in public if not name.startswith("_") and is_function(getattr(module, name, None))]
        for name in functions:
            parts = re.split(r"\n\s*\n", inspect.cleandoc(getattr(module, name).__doc__ or ""))
            while parts and re.match(r"\w+\(", parts[0]):
                del parts[0]
            question, text = " ".join(parts[0].split()) if parts else "", "\n\n".join(parts[1:])[:MOST_CHARS]
            if len(text) >= LEAST_CHARS and len(question) <= 200 and question not in seen:
                seen.add(question)
                yield Judged(f"{module_name}.{name}", text, question)


def is_function(thing: Any) -> bool:
    return inspect.isroutine(thing) or hasattr(thing, "__wrapped__") or type(thing).__name__ == "ufunc"


def with_keywords(documents: Iterable[Judged]) -> Iterator[Judged]:
    """Ask by the three words of most tf-idf, of those that another document has too."""
    documents = list(documents)
    counts = [Counter(words(one.text)) for one in documents]
    among = Counter(word for own in counts for word in own)
    for document, own in zip(documents, counts, strict=True):
        known = [word for word in own if among[word] > 1 and len(word) > 3]
        best = sorted(known, key=lambda word: (-own[word] * math.log(len(documents) / among[word]), word))
        yield document._replace(question=" ".join(best[:3]))


def with_a_sentence_taken_out(documents: Iterable[Judged]) -> Iterator[Judged]:
    """Inverse cloze: Lee, Chang and Toutanova, "Latent Retrieval for Weakly Supervised Open Domain QA" (2019)."""
    for document in documents:
        text = " ".join(document.text.split())
        sentences = re.findall(r"(?<=[.:] )[A-Z][^.:]{40,200}\.(?=\s)", text)
        if sentences:
            taken = min(sentences, key=hashed)
            where = r"\s+".join(re.escape(word) for word in taken.split())
            yield document._replace(question=taken, text=re.sub(where, "", document.text))


def without_shared_words(documents: Iterable[Judged]) -> Iterator[Judged]:
    documents = list(documents)
    among = Counter(word for one in documents for word in set(words(one.text)))
    for document in documents:
        shared = set(words(document.question)) & set(words(document.text))
        rarer = set(sorted(shared, key=lambda word: (among[word], word))[: (len(shared) + 1) // 2])
        left = [word for word in document.question.split() if not rarer & set(words(word))]
        # With fewer words than three there is nothing left to find it by; the document stays, to be in the way.
        yield document._replace(question=" ".join(left) if len(left) >= 3 else "")


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def hashed(name: str) -> bytes:
    return sha256(name.encode()).digest()


def by_hash(documents: Iterable[Judged]) -> list[Judged]:
    return sorted(documents, key=lambda one: hashed(one.name))


def write(folder: Path, documents: Iterable[Judged]) -> None:
    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    with (folder / "questions.jsonl").open("w", encoding="utf-8") as questions:
        for document in documents:
            path = re.sub(r"[^\w.+-]", "_", document.name) + ".md"
            (folder / "corpus" / path).write_text(f"# {document.name}\n\n{document.text}\n", "utf-8")
            if document.question:
                questions.write(json.dumps({"query": document.question, "relevant": {path: 1}}) + "\n")


if __name__ == "__main__":
    main()
