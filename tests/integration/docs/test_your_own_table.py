"""The code of the page "Your own table" creates a table whose rows are embedded and found."""

import os

from sqlalchemy import make_url

from rag_assets.db.connections.engines import make_engine
from tests.support.documentation.pages import PAGES, Runner
from tests.support.pipeline.runs import rows


def test_the_rows_of_the_page_are_hashed_embedded_and_found(runner: Runner) -> None:
    runner.run_page(PAGES / "guides" / "your_own_table.md")
    assert [hit.row.title for hit in runner.names["found"].hits] == ["Whale", "Tide"]
    engine = make_engine(make_url(os.environ["RAG_ASSETS_DATABASE_URL"]))
    hashed = "SELECT bool_and(content_hash = sha256(content::bytea)), count(*) FROM rag.notes"
    assert rows(engine, hashed) == [(True, 2)]
    assert rows(engine, "SELECT status FROM rag.embedding_spaces WHERE kind = 'notes'") == [("live",)]
    engine.dispose()
