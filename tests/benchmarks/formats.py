"""python -m tests.benchmarks.formats [FOLDER ...]: what reading costs, and whether two readers find the same words.

Prints one JSON object with a key for each format: `mb` read, `seconds_per_mb` of processor time, `start_s` before the
first file, `peak_mb` of the parser's process (0 where none is needed), `memory_per_mb` (how much larger it is than
after the smallest file, for each MB of the largest), `agreement` (the share of another reader's words that ours finds
too) and `ours_alone` (the share of our words that the other reader does not find; for tables, the names of columns
are among them). The other reader is xberg for PDF, and for all others one that takes the text between the tags, the
values, or the decoded file.

The files are Python's documentation topics, written in each format; with FOLDER, the files in it. What is measured is
`DocumentParser` with its process, so that an older checkout can be measured with this module too.
"""

import argparse
import email
import email.policy
import html
import io
import json
import re
import resource
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rag_assets.documents.parsing.parser import DocumentParser, file_type
from rag_assets.errors import DocumentError
from tests.support.data.topic_files import topic_files

MB = 1e6
ROUNDS = 3
# Starting a parser's process takes more.
IN_PROCESS_S = 0.03
_WORD = re.compile(r"\w+")
_TAG = re.compile(r"<(script|style|head)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_ZIPPED = frozenset({"docx", "pptx", "xlsx", "odt", "odp", "ods", "epub"})
_TEXT_PARTS = re.compile(
    r"word/document\.xml|ppt/slides/slide\d+\.xml|xl/(?:sharedStrings|worksheets/sheet\d+)\.xml|content\.xml|.*\.x?html"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(*arguments.folders)))
        return
    by_kind: dict[str, list[Path]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as made:
        for path in _files(arguments.folders):
            by_kind[file_type(path.name)].append(path)
        if not arguments.folders:
            for name, most in (("small", 1), ("large", None)):
                folder = Path(made, name)
                folder.mkdir()
                for path in topic_files(folder, most):
                    by_kind[file_type(path.name)].append(path)
        print(json.dumps({kind: _in_child(paths) for kind, paths in sorted(by_kind.items())}))


def _files(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(path for path in folder.rglob("*") if path.is_file() and file_type(path.name) != "unknown")


def _in_child(paths: Sequence[Path]) -> dict[str, Any]:
    """Each format in a process of its own: memory and time of ended children are known for all of them together."""
    command = [sys.executable, "-m", "tests.benchmarks.formats", "--child", *map(str, paths)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(*paths: Path) -> dict[str, Any]:
    """The figures of these files, which are of one format."""
    files = {str(path): path.read_bytes() for path in paths}
    smallest = min(files, key=lambda name: len(files[name]))
    _, idle_mb, _ = _read({smallest: files[smallest]}, 1)
    once_s, used_mb, contents = _read(files, 1)
    often_s, _, _ = _read(files, 1 + ROUNDS)
    round_s = max(0.0, often_s - once_s) / ROUNDS
    size = sum(map(len, files.values())) / MB
    both = ours = others = 0
    for name, content in contents.items():
        found, expected = _words(content), _words(_other_reader(name, files[name]))
        both += sum((found & expected).values())
        ours += found.total()
        others += expected.total()
    return {
        "files": len(paths),
        "refused": len(paths) - len(contents),
        "mb": round(size, 3),
        "start_s": round(max(0.0, once_s - round_s), 3),
        "seconds_per_mb": round(round_s / size, 4),
        "peak_mb": round(used_mb if once_s - round_s > IN_PROCESS_S else 0.0, 1),
        "memory_per_mb": round(max(0.0, used_mb - idle_mb) / (max(map(len, files.values())) / MB), 1),
        "agreement": round(both / max(1, others), 4),
        "ours_alone": round(1 - both / max(1, ours), 4),
    }


def _read(files: Mapping[str, bytes], rounds: int) -> tuple[float, float, dict[str, str]]:
    """Processor time, and the peak of memory of all parser's processes so far, in MB; and the texts of the files."""
    contents: dict[str, str] = {}
    before = _processor_time()
    with DocumentParser(timeout_s=600, memory_mb=4096) as parser:
        for name, data in [*files.items()] * rounds:
            try:
                contents[name] = parser.parse(name, data).content
            except DocumentError as error:
                print(f"{name}: {error}", file=sys.stderr)
    taken = _processor_time() - before
    return taken, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / MB, contents


def _processor_time() -> float:
    """Of this process, which reads plain text itself, and of its ended children."""
    usages = (resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _words(text: str) -> Counter[str]:
    return Counter(word.lower() for word in _WORD.findall(text))


def _other_reader(name: str, data: bytes) -> str:
    kind = file_type(name)
    if kind == "pdf":
        from rag_assets.documents.parsing.readers.xberg import read_document

        return read_document(data, "pdf").content
    if kind in _ZIPPED:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            parts = [package.read(name) for name in package.namelist() if _TEXT_PARTS.fullmatch(name)]
        return " ".join(_without_tags(part.decode("utf-8", "replace")) for part in parts)
    if kind == "email":
        message = email.message_from_bytes(data, policy=email.policy.default)
        shown = " ".join(str(message[name]) for name in ("Subject", "From", "To", "Date") if message[name])
        return f"{shown} " + " ".join(
            str(part.get_content()) for part in message.walk() if part.get_content_maintype() == "text"
        )
    text = data.decode("utf-8", "replace")
    if kind in {"json", "jsonl", "notebook"}:
        values = [json.loads(line) for line in (text.splitlines() if kind == "jsonl" else [text]) if line.strip()]
        return " ".join(_strings(values))
    return _without_tags(text) if kind == "html" else text


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)


def _without_tags(text: str) -> str:
    return html.unescape(_TAG.sub(" ", text))


if __name__ == "__main__":
    main()
