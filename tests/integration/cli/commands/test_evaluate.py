"""rag-assets evaluate: JSON, table, warnings, errors."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from rag_assets.settings.settings import Settings
from tests.support.command_line import Cli
from tests.support.json_shapes import assert_shape

REPORT = {
    "metrics": dict.fromkeys(("ndcg@10", "recall@10", "recall@100", "mrr@10", "hit_rate@10"), float),
    "questions": int,
    "latency_ms": dict.fromkeys(("p50", "p95", "embedding_p50", "embedding_p95"), float),
    "settings": {
        "project": (str, type(None)),
        **dict.fromkeys(("mode", "model", "revision", "chunking", "distance", "storage"), str),
        **dict.fromkeys(("space", "ef_search", "documents", "judged_documents_missing"), int),
        **dict.fromkeys(("questions_not_judged", "questions_short_of_documents"), int),
    },
}
SHARED = "The keeper feeds the whale every morning before the storm."
FOUND = {"query": SHARED, "relevant": {"copy.txt": 2, "copy2.txt": 1}}
LOST = {"query": "[violin] winter", "relevant": {"gone.md": 1}}


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    file = tmp_path / "questions.jsonl"
    file.write_text("\n".join(map(json.dumps, (FOUND, LOST))))
    return file


def test_json_has_the_promised_shape(built: Engine, cli: Cli, questions: Path) -> None:
    said = cli("evaluate", questions, "--project", "zoo", "--mode", "vector", "--json")
    assert said.code == 0, said.err
    assert_shape(said.json, REPORT)
    assert said.json["metrics"] == dict.fromkeys(REPORT["metrics"], 0.5)
    assert (said.json["questions"], said.json["settings"]["project"]) == (2, "zoo")


def test_judged_documents_that_are_missing_are_a_warning_with_their_number(
    built: Engine, cli: Cli, questions: Path
) -> None:
    said = cli("evaluate", questions, "--json")
    assert said.code == 0
    assert "warning: 1 of the relevant documents are not in the index" in said.err
    assert "gone.md" in said.err
    assert said.json["settings"]["judged_documents_missing"] == 1


def test_people_see_a_table_and_the_questions_lost_worst(built: Engine, cli: Cli, questions: Path) -> None:
    said = cli("evaluate", questions)
    assert said.code == 0, said.err
    assert "2 evaluation queries, hybrid search, " in said.out
    assert "ndcg@10" in said.out
    assert "0.5000" in said.out
    lost = said.out[said.out.index("worst answers") :]
    assert "0.000  [violin] winter  (not found; wanted gone.md)" in lost
    assert SHARED not in lost


def test_a_question_that_no_terminal_can_show_is_asked_and_shown(built: Engine, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "odd.jsonl").write_text('{"query": "storm \\ud800", "relevant": {"gone.md": 1}}\n')
    said = cli("evaluate", tmp_path / "odd.jsonl", "--mode", "text")
    assert said.code == 0
    said.out.encode()
    assert "0.000  storm  (not found; wanted gone.md)" in said.out


def test_a_beir_folder_is_judged_by_file_names(built: Engine, cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "1", "text": SHARED}) + "\n")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\tcopy\t1\n1\tcopy2\t1\n")
    said = cli("evaluate", folder, "--json")
    assert said.err == ""
    assert said.json["metrics"]["ndcg@10"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{questions}", "--project", "nope"], "no project 'nope' (known: sea, zoo)"),
        (["nowhere.jsonl"], "cannot be read"),
        (["{bad}"], "line 1 is not JSON"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(
    built: Engine, cli: Cli, questions: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{\n")
    filled = [one.format(questions=questions, bad=bad) for one in arguments]
    assert words in cli("evaluate", *filled, "--json").error(2)


def test_an_unknown_mode_is_wrong_usage(built: Engine, cli: Cli, questions: Path) -> None:
    said = cli("evaluate", questions, "--mode", "telepathy").error(2)
    assert "'telepathy' is not one of 'vector', 'text', 'hybrid'; see `rag-assets evaluate --help`." in said


def test_nothing_ingested_yet_says_what_to_run(settings: Settings, cli: Cli, questions: Path) -> None:
    assert "run rag-assets ingest first" in cli("evaluate", questions, "--json").error(3)
