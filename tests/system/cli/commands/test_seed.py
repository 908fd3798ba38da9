"""rag-assets seed: example data, and the documents that its conversations are about."""

import json

from sqlalchemy import Engine

from rag_assets.settings.settings import Settings
from tests.support.installation.command_line import Cli
from tests.support.pipeline.runs import rows


def test_a_seed_counts_what_it_added_and_a_second_adds_nothing(cli: Cli, settings: Settings, engine: Engine) -> None:
    result = cli("seed", "--json")
    assert result.code == 0, result.err
    added = json.loads(result.out)["added"]
    assert added["users"] == 6
    assert added["projects"] == 1
    assert rows(engine, "SELECT count(*) FROM rag.conversation_messages") == [(added["messages"],)]
    again = cli("seed", "--json")
    assert set(json.loads(again.out)["added"].values()) == {0}


def test_a_seed_ingests_documents_if_there_are_none(cli: Cli, settings: Settings, engine: Engine) -> None:
    result = cli("seed")
    assert result.code == 0, result.err
    assert "6 users" in result.out
    [(documents, chunks, vectors)] = rows(
        engine,
        "SELECT (SELECT count(*) FROM rag.documents), (SELECT count(*) FROM rag.document_chunks), "
        "(SELECT count(*) FROM rag.embeddings)",
    )
    assert documents > 70
    assert chunks >= vectors > documents
    again = cli("seed")
    assert again.out == "added nothing; everything exists already\n"


def test_an_unknown_size_is_an_error(cli: Cli, settings: Settings) -> None:
    assert "--size is 'huge'; choose one of small, large." in cli("seed", "--size", "huge").error(2)
