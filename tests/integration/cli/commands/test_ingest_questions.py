"""rag-assets ingest --questions: judged questions that every run asks, and what they must reach."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from rag_assets.settings.settings import Settings
from tests.support.command_line import Cli, CommandResult
from tests.support.runs import rows

SHARED = "The keeper feeds the whale every morning before the storm."


def quality(said: CommandResult) -> dict[str, object]:
    [found] = [check for check in said.json["checks"] if check["name"] == "search_quality"]
    return dict(found)


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    file = tmp_path / "questions.jsonl"
    file.write_text(json.dumps({"query": SHARED, "relevant": {"copy.txt": 1, "copy2.txt": 1}}))
    return file


def test_questions_are_kept_asked_in_every_run_and_taken_away(built: Engine, cli: Cli, questions: Path) -> None:
    said = cli("ingest", "--project", "zoo", "--questions", questions, "--threshold", "mrr@10=0.9", "--json")
    assert said.code == 0, said.err
    assert quality(said)["metadata"]["zoo mrr@10"] == 1  # type: ignore[index]
    # A judgement that nothing can meet: the next run, which knows the file only from the project, is red for it.
    questions.write_text(json.dumps({"query": SHARED, "relevant": {"gone.md": 1}}))
    said = cli("ingest", "--project", "zoo", "--verbose")
    assert said.code == 1
    assert "check live_space/search_quality failed: zoo: mrr@10 is 0.000, not 0.9 or more" in said.err
    assert "zoo mrr@10 0," in " ".join(said.out.split())
    # The table of the worst answers is for the UI.
    assert "worst_queries" not in said.out
    said = cli("ingest", "--project", "zoo", "--questions", "", "--json")
    assert said.code == 0, said.err
    assert quality(said)["metadata"]["questions"] == 0  # type: ignore[index]
    assert rows(built, "SELECT settings FROM rag.projects WHERE name = 'zoo'") == [({},)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--questions", "nowhere.jsonl"], "cannot be read"),
        (["--threshold", "ndcg@10=0.5"], "name their file with --questions"),
        (["--questions", "{questions}", "--threshold", "ndcg=1"], "the threshold 'ndcg=1' is invalid"),
    ],
)
def test_wrong_questions_end_before_anything_is_made(
    settings: Settings, engine: Engine, cli: Cli, folder: Path, questions: Path, arguments: list[str], words: str
) -> None:
    said = cli("ingest", folder, *(one.format(questions=questions) for one in arguments))
    assert words in said.error(2)
    assert rows(engine, "SELECT count(*) FROM rag.projects") == [(0,)]
