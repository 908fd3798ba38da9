"""rag-assets search: JSON, options, errors."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from rag_assets.settings.settings import Settings
from tests.support.command_line import Cli
from tests.support.json_shapes import SEARCH, assert_shape
from tests.support.runs import rows


def test_json_has_the_promised_shape(built: Engine, cli: Cli) -> None:
    said = cli("search", "The keeper feeds the whale every morning before the storm.", "-k", "5", "--json")
    assert said.code == 0, said.err
    found = said.json
    assert_shape(found, SEARCH)
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3, 4, 5]
    scores = [hit["score"] for hit in found["hits"]]
    assert scores == sorted(scores, reverse=True)
    best = found["hits"][0]
    assert best["parts"]["vector"] > 0.99
    ((content,),) = rows(
        built,
        "SELECT d.content FROM rag.documents d JOIN rag.document_chunks c ON c.document_id = d.id "
        "WHERE c.id = CAST(:id AS uuid)",
        id=best["chunk_id"],
    )
    assert content[best["char_start"] : best["char_end"]] == best["text"]


def test_project_and_number_are_kept_to(built: Engine, cli: Cli) -> None:
    found = cli("search", "whale", "--project", "sea", "--json").json
    assert len(found["hits"]) == 10
    assert {hit["project"] for hit in found["hits"]} == {"sea"}
    assert len(cli("search", "whale", "-k", "1", "--json").json["hits"]) == 1


def test_people_see_rank_score_path_offsets_and_text(built: Engine, cli: Cli) -> None:
    said = cli("search", "The keeper feeds the whale", "-k", "2")
    assert said.code == 0
    assert "1. " in said.out
    assert "copy" in said.out
    assert "The keeper feeds the whale" in said.out
    assert "ms" in said.out


def test_people_see_what_stands_around_a_hit_where_they_ask_for_it(built: Engine, cli: Cli) -> None:
    asked = ("search", "keeper whale storm", "-k", "1", "--project", "sea", "--mode", "text", "--context", "2")
    [hit] = cli(*asked, "--json").json["hits"]
    around = " ".join(hit["context"].split())
    assert len(around) > len(" ".join(hit["text"].split()))
    assert around in cli(*asked).out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["  "], "the query is empty"),
        (["whale", "-k", "0"], "k is 0"),
        (["whale", "-k", "1001"], "k is 1001"),
        (["whale", "--project", "nope"], "no project 'nope' (known: sea, zoo)"),
        (["whale\ud800", "-k", "0"], "k is 0"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(built: Engine, cli: Cli, arguments: list[str], words: str) -> None:
    assert words in cli("search", *arguments, "--json").error(2)


@pytest.mark.parametrize("query", ["whale\ud800", "nul\0byte", "'; DROP TABLE rag.documents --", "🦓" * 3000])
def test_odd_questions_are_answered(built: Engine, cli: Cli, query: str) -> None:
    said = cli("search", query, "--json")
    assert said.code == 0, said.err
    assert said.json["hits"]


def test_a_state_folder_that_cannot_be_is_one_line_and_code_3(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("RAG_ASSETS_STATE_DIR", str(tmp_path / "file" / "state"))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    said = cli("search", "whale").error(3)
    assert "cannot be used: Not a directory; make room or allow writing there" in said


def test_nothing_ingested_yet_says_what_to_run(settings: Settings, cli: Cli) -> None:
    assert "run rag-assets ingest first" in cli("search", "whale", "--json").error(3)


def test_word_that_is_no_option_is_wrong_usage(settings: Settings, cli: Cli) -> None:
    said = cli("search", "whale", "--nonsense").error(2)
    assert "no such option: --nonsense" in said.lower()
    assert said.endswith("; see `rag-assets search --help`.\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["search"], "missing argument 'query'"),
        (["search", "whale", "-k", "many"], "invalid value for '-k'"),
        (["nonsense"], "no such command 'nonsense'"),
        (["projects", "add", "--nonsense"], "see `rag-assets projects add --help`"),
    ],
)
def test_what_the_command_line_itself_refuses_is_one_line_too(cli: Cli, arguments: list[str], words: str) -> None:
    assert words in cli(*arguments).error(2)


def test_no_command_shows_which_there_are(cli: Cli) -> None:
    said = cli()
    assert said.code == 2
    assert "rag-assets: " not in said.err
    assert "ingest" in said.out + said.err
