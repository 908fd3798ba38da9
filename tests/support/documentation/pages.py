"""Read and run the code blocks of the documentation pages."""

import ast
import asyncio
import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

from tests.support.paths import ROOT

PAGES = ROOT / "docs" / "pages"
# Pages whose blocks are run. The reference is generated and has none.
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(path for path in PAGES.rglob("*.md") if path.parent.name != "reference"),
]
OWN_TEST = frozenset({"your_own_table.md"})
# Languages whose blocks are run, and languages that are only shown. A block with a title is written as a file.
RUN = frozenset({"python", "sh"})
SHOWN = frozenset({"text"})

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?$")
_MARK = re.compile(r"^\s*<!-- (?P<kind>not run|run by): (?P<reason>.+?) -->$")


@dataclass(frozen=True)
class Block:
    """A fenced block. `mark` is "not run" or "run by"; `reason` says why, or which test runs the block."""

    line: int
    language: str
    title: str | None
    code: str
    mark: str | None = None
    reason: str | None = None

    @property
    def is_run(self) -> bool:
        return self.mark is None and (self.language in RUN or self.title is not None)


def read_blocks(text: str) -> list[Block]:
    """Read the fenced blocks in order. Raises ValueError for a malformed fence."""
    lines = text.splitlines()
    blocks: list[Block] = []
    start = 0
    while start < len(lines):
        line = lines[start]
        if "```" not in line:
            start += 1
            continue
        fence = _FENCE.match(line)
        if fence is None:
            raise ValueError(f'line {start + 1}: {line.strip()!r} is not ```language or ```language title="NAME"')
        end = lines.index(f"{fence['indent']}```", start + 1)
        mark = _MARK.match(lines[start - 1]) if start else None
        blocks.append(
            Block(
                line=start + 1,
                language=fence["language"],
                title=fence["title"],
                code=dedent("\n".join(lines[start + 1 : end])) + "\n",
                mark=mark and mark["kind"],
                reason=mark and mark["reason"],
            )
        )
        start = end + 1
    return blocks


def find_block(page: Path, words: str) -> Block:
    """The one block of the page that contains these words."""
    [found] = [block for block in read_blocks(page.read_text(encoding="utf-8")) if words in block.code]
    return found


def _install(pyproject: Path) -> None:
    """Register the entry points of a project in the working directory, as `pip install -e .` does."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    info = Path("installed").absolute() / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [
        f"[{group}]\n" + "\n".join(f"{name} = {value}" for name, value in points.items()) for group, points in groups
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    sys.path.insert(0, str(info.parent))


def pages_with_code() -> list[Path]:
    paths = [path for path in DOCUMENTS if path.name not in OWN_TEST]
    return [path for path in paths if any(block.is_run for block in read_blocks(path.read_text(encoding="utf-8")))]


@dataclass
class Runner:
    """Runs blocks in the working directory. The Python blocks of a page share one namespace.

    `command` runs a rag-assets command in this process and returns its exit code and stderr. `installed` is called
    after a project was installed from the working directory.
    """

    command: Callable[[Sequence[str]], tuple[int, str]]
    setenv: Callable[[str, str], None]
    installed: Callable[[], None]

    def __post_init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__"}

    def run_page(self, page: Path) -> None:
        for block in read_blocks(page.read_text(encoding="utf-8")):
            if block.is_run:
                self.run(block)

    def run(self, block: Block) -> None:
        if block.title is not None:
            file = Path(block.title)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.code, encoding="utf-8")
            if file.name == "pyproject.toml":
                _install(file)
                self.installed()
        elif block.language == "python":
            self._python(block)
        else:
            for line in block.code.replace("\\\n", " ").splitlines():
                self._shell(line)

    def _python(self, block: Block) -> None:
        code = compile(block.code, f"<line {block.line}>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(eval(code, self.names))
        else:
            exec(code, self.names)

    def _shell(self, line: str) -> None:
        words = shlex.split(line, comments=True)
        if not words:
            return
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            self.setenv(name, value)
        elif words[0] == "rag-assets" and not re.search(r"[|>&$]", line):
            arguments = [os.path.expanduser(word) for word in words[1:]]  # noqa: PTH111
            expected = re.search(r"# exits with (\d+)", line)
            code, stderr = self.command(arguments)
            assert code == (int(expected[1]) if expected else 0), f"{line}: exit code {code}: {stderr}"
        else:
            self._bash(line)

    def _bash(self, line: str) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            capture_output=True,
            text=True,
            env=os.environ | {"PATH": path, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path.cwd()}"},
            timeout=900,
        )
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
