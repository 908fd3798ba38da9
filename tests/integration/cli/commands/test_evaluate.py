"""rag-assets evaluate: JSON, table, warnings, errors."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from rag_assets.settings.settings import Settings
from tests.support.installation.command_line import Cli
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
    result = cli("evaluate", questions, "--project", "zoo", "--mode", "vector", "--json")
    assert result.code == 0, result.err
    assert_shape(result.json, REPORT)
    assert result.json["metrics"] == dict.fromkeys(REPORT["metrics"], 0.5)
    assert (result.json["questions"], result.json["settings"]["project"]) == (2, "zoo")


def test_missing_relevant_documents_are_counted_in_a_warning(built: Engine, cli: Cli, questions: Path) -> None:
    result = cli("evaluate", questions, "--json")
    assert result.code == 0
    assert "warning: 1 of the relevant documents are not in the index" in result.err
    assert "gone.md" in result.err
    assert result.json["settings"]["judged_documents_missing"] == 1


def test_text_output_has_a_table_and_the_worst_queries(built: Engine, cli: Cli, questions: Path) -> None:
    result = cli("evaluate", questions)
    assert result.code == 0, result.err
    assert "2 evaluation queries, hybrid search, " in result.out
    assert "ndcg@10" in result.out
    assert "0.5000" in result.out
    worst = result.out[result.out.index("worst answers") :]
    assert "0.000  [violin] winter  (not found; wanted gone.md)" in worst
    assert SHARED not in worst


def test_a_query_with_a_lone_surrogate_is_evaluated_and_printed(built: Engine, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "odd.jsonl").write_text('{"query": "storm \\ud800", "relevant": {"gone.md": 1}}\n')
    result = cli("evaluate", tmp_path / "odd.jsonl", "--mode", "text")
    assert result.code == 0
    result.out.encode()
    assert "0.000  storm  (not found; wanted gone.md)" in result.out


def test_a_beir_folder_is_matched_by_file_names(built: Engine, cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "1", "text": SHARED}) + "\n")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\tcopy\t1\n1\tcopy2\t1\n")
    result = cli("evaluate", folder, "--json")
    assert result.err == ""
    assert result.json["metrics"]["ndcg@10"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{questions}", "--project", "nope"], "no project 'nope' (known: sea, zoo)"),
        (["nowhere.jsonl"], "cannot be read"),
        (["{bad}"], "line 1 is not JSON"),
    ],
)
def test_wrong_usage_is_a_one_line_error_and_exits_with_2(
    built: Engine, cli: Cli, questions: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{\n")
    filled = [one.format(questions=questions, bad=bad) for one in arguments]
    assert words in cli("evaluate", *filled, "--json").error(2)


def test_an_unknown_mode_is_wrong_usage(built: Engine, cli: Cli, questions: Path) -> None:
    result = cli("evaluate", questions, "--mode", "telepathy").error(2)
    assert "'telepathy' is not one of 'vector', 'text', 'hybrid'; see `rag-assets evaluate --help`." in result


def test_the_error_before_the_first_ingest_names_the_command(settings: Settings, cli: Cli, questions: Path) -> None:
    assert "run rag-assets ingest first" in cli("evaluate", questions, "--json").error(3)
