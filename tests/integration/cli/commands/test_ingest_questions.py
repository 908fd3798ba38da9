"""rag-assets ingest --questions: evaluation queries of a project, and their thresholds."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from rag_assets.settings.settings import Settings
from tests.support.installation.command_line import Cli, CommandResult
from tests.support.pipeline.runs import rows

SHARED = "The keeper feeds the whale every morning before the storm."


def search_quality(result: CommandResult) -> dict[str, object]:
    [found] = [check for check in result.json["checks"] if check["name"] == "search_quality"]
    return dict(found)


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    file = tmp_path / "questions.jsonl"
    file.write_text(json.dumps({"query": SHARED, "relevant": {"copy.txt": 1, "copy2.txt": 1}}))
    return file


def test_evaluation_queries_are_stored_run_by_every_ingest_and_removed(
    built: Engine, cli: Cli, questions: Path
) -> None:
    result = cli("ingest", "--project", "zoo", "--questions", questions, "--threshold", "mrr@10=0.9", "--json")
    assert result.code == 0, result.err
    assert search_quality(result)["metadata"]["zoo mrr@10"] == 1  # type: ignore[index]
    # A judgement that no result can meet: the check of the next run, which takes the file from the project, fails.
    questions.write_text(json.dumps({"query": SHARED, "relevant": {"gone.md": 1}}))
    result = cli("ingest", "--project", "zoo", "--verbose")
    assert result.code == 1
    assert "check live_space/search_quality failed: zoo: mrr@10 is 0.000, not 0.9 or more" in result.err
    assert "zoo mrr@10 0," in " ".join(result.out.split())
    # Only the UI shows the table of the worst answers.
    assert "worst_queries" not in result.out
    result = cli("ingest", "--project", "zoo", "--questions", "", "--json")
    assert result.code == 0, result.err
    assert search_quality(result)["metadata"]["questions"] == 0  # type: ignore[index]
    assert rows(built, "SELECT settings FROM rag.projects WHERE name = 'zoo'") == [({},)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--questions", "nowhere.jsonl"], "cannot be read"),
        (["--threshold", "ndcg@10=0.5"], "name their file with --questions"),
        (["--questions", "{questions}", "--threshold", "ndcg=1"], "the threshold 'ndcg=1' is invalid"),
    ],
)
def test_invalid_evaluation_queries_are_refused_before_the_project_is_added(
    settings: Settings, engine: Engine, cli: Cli, folder: Path, questions: Path, arguments: list[str], words: str
) -> None:
    result = cli("ingest", folder, *(one.format(questions=questions) for one in arguments))
    assert words in result.error(2)
    assert rows(engine, "SELECT count(*) FROM rag.projects") == [(0,)]
