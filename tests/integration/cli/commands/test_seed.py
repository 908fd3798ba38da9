"""rag-assets seed: data to develop with, and the documents that they speak of."""

import json

from sqlalchemy import Engine

from rag_assets.settings.settings import Settings
from tests.support.command_line import Cli
from tests.support.runs import rows


def test_a_seed_says_what_it_added_and_the_second_that_all_was_there(
    cli: Cli, settings: Settings, engine: Engine
) -> None:
    said = cli("seed", "--json")
    assert said.code == 0, said.err
    added = json.loads(said.out)["added"]
    assert added["users"] == 6
    assert added["projects"] == 1
    assert rows(engine, "SELECT count(*) FROM rag.conversation_messages") == [(added["messages"],)]
    again = cli("seed", "--json")
    assert set(json.loads(again.out)["added"].values()) == {0}


def test_documents_are_ingested_with_it_where_there_are_none(cli: Cli, settings: Settings, engine: Engine) -> None:
    said = cli("seed")
    assert said.code == 0, said.err
    assert "6 users" in said.out
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
