"""Generate the blocking classes from the async ones.

python .ci/async_to_sync.py           write the generated files
python .ci/async_to_sync.py --check   exit 1, with a diff, where one of them is stale
"""

import argparse
import difflib
import io
import subprocess
import sys
import tokenize
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Source and generated file. Each class of the source is given the prefix `Sync`.
FILES = {"rag_assets/repositories/aio.py": "rag_assets/repositories/sync.py"}
NAMES = {"Repository": "SyncRepository", "async_method": "sync_method"}
# In docstrings and comments.
PHRASES = {"for asyncio": "for code without an event loop", "async methods": "blocking methods"}
HEADER = """\
# Generated from {source} by .ci/async_to_sync.py: do not edit.
# Change {source}, then run: python .ci/async_to_sync.py
"""


def generate(source: str, source_name: str) -> str:
    """The text of the generated file, formatted by ruff."""
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    classes = {after.string for token, after in pairwise(tokens) if token.string == "class"}
    names = NAMES | {name: f"Sync{name}" for name in classes}
    return _formatted(HEADER.format(source=source_name) + _replaced(source, tokens, names))


def _replaced(source: str, tokens: Sequence[tokenize.TokenInfo], names: Mapping[str, str]) -> str:
    lines = source.splitlines(keepends=True)
    # From the end, so that the positions of the tokens before stay right.
    for token in reversed(tokens):
        (row, start), (last_row, end) = token.start, token.end
        if token.type == tokenize.NAME and token.string in names:
            line = lines[row - 1]
            lines[row - 1] = line[:start] + names[token.string] + line[end:]
        elif token.type in (tokenize.STRING, tokenize.COMMENT):
            text = token.string
            for phrase, replacement in PHRASES.items():
                text = text.replace(phrase, replacement)
            lines[row - 1 : last_row] = [lines[row - 1][:start] + text + lines[last_row - 1][end:]]
    return "".join(lines)


def _formatted(text: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", "generated.py", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file is stale")
    check = parser.parse_args(arguments).check
    stale = False
    for source_name, target_name in FILES.items():
        target = root / target_name
        wanted = generate((root / source_name).read_text("utf-8"), source_name)
        current = target.read_text("utf-8") if target.exists() else ""
        if current == wanted:
            continue
        stale = True
        if check:
            lines = current.splitlines(keepends=True), wanted.splitlines(keepends=True)
            sys.stdout.writelines(difflib.unified_diff(*lines, target_name, f"generated from {source_name}"))
        else:
            target.write_text(wanted, "utf-8")
            print(f"wrote {target_name}")
    if check and stale:
        print("stale; run: python .ci/async_to_sync.py", file=sys.stderr)
    return int(check and stale)


if __name__ == "__main__":
    sys.exit(main())
