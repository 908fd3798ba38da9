"""The search quality that a project requires: stored in its settings, read from files and URLs."""

import json
import zipfile
from pathlib import Path

import pytest
from sqlalchemy import Engine

from rag_assets.errors import UsageError
from rag_assets.projects.store import save_project
from rag_assets.search.evaluation.thresholds import (
    QualityRequirement,
    quality_requirements,
    read_queries_at,
    set_quality_requirement,
)

LINE = json.dumps({"query": "What is it?", "relevant": {"a.md": 1}})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "questions.jsonl"
    file.write_text(LINE)
    return file


def test_queries_and_thresholds_are_added_to_the_settings(file: Path) -> None:
    settings = set_quality_requirement({"include": ["*.md"]}, str(file), ["ndcg@10=0.7", "recall@100=1"])
    assert settings == {
        "include": ["*.md"],
        "questions": str(file),
        "question_thresholds": {"ndcg@10": 0.7, "recall@100": 1.0},
    }
    assert set_quality_requirement(settings, None, None) == settings
    assert set_quality_requirement(settings, None, ["mrr@10=0.5"])["question_thresholds"] == {"mrr@10": 0.5}
    assert set_quality_requirement(settings, "", None) == {"include": ["*.md"]}


def test_a_path_is_stored_absolute(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert set_quality_requirement({}, file.name, None)["questions"] == str(file)


@pytest.mark.parametrize(
    ("questions", "thresholds", "words"),
    [
        ("nowhere.jsonl", None, "cannot be read"),
        ("s3://key:secret@bucket/q.jsonl", None, "carries credentials"),
        (None, ["ndcg@10=0.7"], "name their file with --questions"),
        ("{file}", ["ndcg@10"], "'ndcg@10' is invalid"),
        ("{file}", ["ndcg@10=1.5"], "'ndcg@10=1.5' is invalid"),
        ("{file}", ["ndcg@10=nan"], "'ndcg@10=nan' is invalid"),
        ("{file}", ["accuracy=0.5"], "write a metric (ndcg@10, recall@10"),
    ],
)
def test_invalid_requirements_are_refused(
    file: Path, questions: str | None, thresholds: list[str] | None, words: str
) -> None:
    address = questions and questions.format(file=file)
    with pytest.raises(UsageError) as error:
        set_quality_requirement({}, address, thresholds)
    assert words in str(error.value)


def test_requirements_are_read_of_one_project_or_all(engine: Engine, file: Path) -> None:
    with engine.begin() as connection:
        save_project(connection, "plain", "/plain", {"include": []})
        save_project(connection, "b", "/b", set_quality_requirement({}, str(file), ["ndcg@10=0.7"]))
        save_project(connection, "a", "/a", set_quality_requirement({}, str(file), None))
        wanted = [QualityRequirement("a", str(file)), QualityRequirement("b", str(file), {"ndcg@10": 0.7})]
        assert quality_requirements(connection) == wanted
        assert quality_requirements(connection, "b") == wanted[1:]
        assert quality_requirements(connection, "plain") == []
    assert [question.text for question in wanted[0].read().queries] == ["What is it?"]


def test_an_address_is_read_like_a_file_or_a_folder(tmp_path: Path) -> None:
    archive = tmp_path / "judged.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("one/questions.jsonl", LINE)
        opened.writestr("beir/queries.jsonl", json.dumps({"_id": "1", "text": "Which one?"}) + "\n")
        opened.writestr("beir/qrels/test.tsv", "query-id\tcorpus-id\tscore\n1\ta\t1\n")
    of_file = read_queries_at(f"zip://one/questions.jsonl::{archive}")
    assert [question.text for question in of_file.queries] == ["What is it?"]
    of_folder = read_queries_at(f"zip://beir::{archive}")
    assert ([question.text for question in of_folder.queries], of_folder.by_document_id) == (["Which one?"], True)
    with pytest.raises(UsageError, match="cannot be opened"):
        read_queries_at(f"zip://nothing::{archive}")
