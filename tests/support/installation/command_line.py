"""Fixtures that run commands in this process: the real `main`, with a HashEncoder as the model."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import rag_assets.definitions
import rag_assets.search.execution.query_embedding
from rag_assets.cli.main import main
from tests.support.fakes import ENCODERS, HashEncoder
from tests.support.pipeline.runs import fake_defs
from tests.support.pipeline.stages import write


@dataclass(frozen=True)
class CommandResult:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def error(self, code: int) -> str:
        """Check that the command failed with this exit code and return its single line on stderr."""
        assert (self.code, self.out) == (code, ""), self
        assert self.err.startswith("rag-assets: "), self.err
        assert self.err.count("\n") == 1, self.err
        return self.err


Cli = Callable[..., CommandResult]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    ENCODERS.clear()
    monkeypatch.setattr(rag_assets.definitions, "defs", fake_defs)
    monkeypatch.setattr(
        rag_assets.search.execution.query_embedding,
        "get_space_encoder",
        lambda space, _settings=None: HashEncoder(space.dimensions),
    )

    def run_command(*arguments: str | Path) -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["rag-assets", *map(str, arguments)])
        capsys.readouterr()
        code: Any = 0
        try:
            main()
        except SystemExit as error:
            code = error.code or 0
        captured = capsys.readouterr()
        return CommandResult(code, captured.out, captured.err)

    return run_command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "My Zoo (2024)"
    write(folder / "zebra.md", "# Zebras\n\nZebras have stripes.\n")
    write(folder / "whale.md", "# Whales\n\nWhales sing in the deep sea.\n")
    write(folder / "notes.txt", "Nothing but plain words.\n")
    return folder
