"""rag-assets search: JSON, options, errors."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from rag_assets.settings.settings import Settings
from tests.support.installation.command_line import Cli
from tests.support.json_shapes import SEARCH, assert_shape
from tests.support.pipeline.runs import rows


def test_json_has_the_promised_shape(built: Engine, cli: Cli) -> None:
    result = cli("search", "The keeper feeds the whale every morning before the storm.", "-k", "5", "--json")
    assert result.code == 0, result.err
    found = result.json
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


def test_project_and_k_limit_the_hits(built: Engine, cli: Cli) -> None:
    found = cli("search", "whale", "--project", "sea", "--json").json
    assert len(found["hits"]) == 10
    assert {hit["project"] for hit in found["hits"]} == {"sea"}
    assert len(cli("search", "whale", "-k", "1", "--json").json["hits"]) == 1


def test_text_output_shows_rank_path_and_text(built: Engine, cli: Cli) -> None:
    result = cli("search", "The keeper feeds the whale", "-k", "2")
    assert result.code == 0
    assert "1. " in result.out
    assert "copy" in result.out
    assert "The keeper feeds the whale" in result.out
    assert "ms" in result.out


def test_copies_are_named_and_hits_have_pages(built: Engine, cli: Cli) -> None:
    shared = "The keeper feeds the whale every morning before the storm."
    assert "   also in: zoo/copy.txt, zoo/copy2.txt\n" in cli("search", shared, "-k", "1").out
    every = cli("search", shared, "-k", "3", "--no-distinct", "--json").json["hits"]
    assert {hit["text"] for hit in every} == {shared}
    pages = [cli("search", shared, "-k", "2", "--offset", str(offset), "--json").json["hits"] for offset in (0, 2)]
    assert [hit["rank"] for page in pages for hit in page] == [1, 2, 3, 4]
    assert [copy["file_path"] for copy in pages[0][0]["copies"]] == ["copy.txt", "copy2.txt"]
    assert "reaches the first 10,000" in cli("search", shared, "--offset", "9999").error(2)


def test_what_was_left_out_or_corrected_is_said(built: Engine, cli: Cli) -> None:
    whale = ("search", "--mode", "text", "--json")
    assert cli(*whale, "whale -storm").json["excluded"] == []
    assert cli(*whale, "whale -storm", "--operators", "all").json["excluded"] == ["storm"]
    assert cli(*whale, 'whale -"storm"', "--operators", "none").json["excluded"] == []
    assert cli(*whale, "whalle").json["corrected"] == {"whalle": ["whale"]}
    said = cli("search", "--mode", "text", 'whale -"in the storm" -"zebra"').out
    assert "Left out: chunks with in the storm, zebra." in said
    assert "No text has whalle; searched for whale instead." in cli("search", "--mode", "text", "whalle").out


def test_text_output_shows_the_context_of_a_hit_on_request(built: Engine, cli: Cli) -> None:
    arguments = ("search", "keeper whale storm", "-k", "1", "--project", "sea", "--mode", "text", "--context", "2")
    [hit] = cli(*arguments, "--json").json["hits"]
    around = " ".join(hit["context"].split())
    assert len(around) > len(" ".join(hit["text"].split()))
    assert around in cli(*arguments).out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["  "], "the query is empty"),
        (["whale", "--operators", "some"], "quoted"),
        (["whale", "-k", "0"], "k is 0"),
        (["whale", "-k", "1001"], "k is 1001"),
        (["whale", "--project", "nope"], "no project 'nope' (known: sea, zoo)"),
        (["whale\ud800", "-k", "0"], "k is 0"),
    ],
)
def test_wrong_usage_is_a_one_line_error_and_exits_with_2(
    built: Engine, cli: Cli, arguments: list[str], words: str
) -> None:
    assert words in cli("search", *arguments, "--json").error(2)


@pytest.mark.parametrize("query", ["whale\ud800", "nul\0byte", "'; DROP TABLE rag.documents --", "🦓" * 3000])
def test_unusual_queries_are_answered(built: Engine, cli: Cli, query: str) -> None:
    result = cli("search", query, "--json")
    assert result.code == 0, result.err
    assert result.json["hits"]


def test_an_unusable_state_folder_is_a_one_line_error_and_exits_with_3(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("RAG_ASSETS_STATE_DIR", str(tmp_path / "file" / "state"))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    result = cli("search", "whale").error(3)
    assert "cannot be used: Not a directory; make room or allow writing there" in result


def test_the_error_before_the_first_ingest_names_the_command(settings: Settings, cli: Cli) -> None:
    assert "run rag-assets ingest first" in cli("search", "whale", "--json").error(3)


def test_an_unknown_option_is_wrong_usage(settings: Settings, cli: Cli) -> None:
    result = cli("search", "whale", "--nonsense").error(2)
    assert "no such option: --nonsense" in result.lower()
    assert result.endswith("; see `rag-assets search --help`.\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["search"], "missing argument 'query'"),
        (["search", "whale", "-k", "many"], "invalid value for '-k'"),
        (["nonsense"], "no such command 'nonsense'"),
        (["projects", "add", "--nonsense"], "see `rag-assets projects add --help`"),
    ],
)
def test_errors_of_the_argument_parser_are_one_line(cli: Cli, arguments: list[str], words: str) -> None:
    assert words in cli(*arguments).error(2)


def test_without_a_command_the_help_is_shown(cli: Cli) -> None:
    result = cli()
    assert result.code == 2
    assert "rag-assets: " not in result.err
    assert "ingest" in result.out + result.err
