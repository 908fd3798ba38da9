"""How common each word is in the chunks of a chunking: counted by the server, anew when the chunks have changed."""

from psycopg import sql
from sqlalchemy import Connection, Engine, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert

from rag_assets.db.models import SCHEMA, DocumentChunk, Lexeme, WordStatistics


def refresh_words(engine: Engine, chunking: str) -> bool:
    """Count again where chunks were written or deleted since the last time; True where that was so."""
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('rag_assets.words'))"))
        now = connection.execute(
            select(
                func.count(),
                func.coalesce(func.avg(DocumentChunk.token_count), 0.0),
                func.concat(func.count(), " ", func.max(DocumentChunk.updated_at)),
            ).where(DocumentChunk.chunking == chunking)
        ).one()
        chunks, mean_tokens, state = now
        counted = connection.scalar(select(WordStatistics.counted).where(WordStatistics.chunking == chunking))
        if counted == state:
            return False
        _count(connection, chunking)
        values = {"chunks": chunks, "mean_tokens": float(mean_tokens), "counted": state}
        connection.execute(
            insert(WordStatistics)
            .values(chunking=chunking, **values)
            .on_conflict_do_update(index_elements=["chunking"], set_={**values, "updated_at": func.now()})
        )
        return True


def _count(connection: Connection, chunking: str) -> None:
    driver = connection.connection.driver_connection
    assert driver is not None
    # ts_stat takes the text of a query; composed, so that a chunking's name stays data.
    counted = sql.SQL("SELECT tsv FROM {} WHERE chunking = {}").format(
        sql.Identifier(SCHEMA, "document_chunks"), sql.Literal(chunking)
    )
    connection.execute(delete(Lexeme).where(Lexeme.chunking == chunking))
    driver.execute(
        "INSERT INTO rag.lexemes (chunking, lexeme, documents) SELECT %s, word, ndoc FROM ts_stat(%s)",
        [chunking, counted.as_string(driver)],
    )
