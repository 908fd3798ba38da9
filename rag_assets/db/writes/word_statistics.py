"""Counts of each word in the chunks of a chunking and language, refreshed once enough chunks have changed."""

from sqlalchemy import Connection, Engine, delete, exists, func, select, text

from rag_assets.db.models import DocumentChunk, DocumentChunking, Lexeme, RowChange, WordStatistics
from rag_assets.db.writes.check_progress import SPACE, Watermark, is_unseen
from rag_assets.db.writes.kept_counts import begin_count_of_chunks

# Counting 100,000 chunks takes seconds, and a few new chunks hardly change the weight of a word. From this number of
# chunks on, words are counted again only after 2% of them have changed; searches find new words in any case.
ALWAYS_RECOUNT_BELOW = 5_000
RECOUNT_SHARE = 0.02

# Another version of PostgreSQL, or a database restored elsewhere, may make other words of the same texts.
_PARSER = text(
    "SELECT md5(rag.word_vector('english', :sample)\\:\\:text || rag.word_vector('simple', :sample)\\:\\:text)"
)
_SAMPLE = "ČESKÝ résumé Żółw ΟΔΟΣ ЁЛКА हिन्दी ไทย 全文検索 한국어 “quoted” a_b c.d e/f -x 1.2.3 <T> C++ fooBar running"

_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('rag_assets.words'))")
_COUNT_CHUNKS = text(
    "INSERT INTO rag.word_statistics (chunking, language, chunks, mean_tokens, counted) "
    "SELECT chunking, language, count(*), avg(token_count), :counted FROM rag.document_chunks "
    "WHERE chunking = :chunking GROUP BY chunking, language"
)
# ts_stat takes the text of a query. The server composes it; %L quotes the chunking as a literal.
_COUNT_LEXEMES = text(
    "INSERT INTO rag.lexemes (chunking, language, lexeme, documents) "
    "SELECT s.chunking, s.language, w.word, w.ndoc FROM rag.word_statistics s CROSS JOIN LATERAL ts_stat(format("
    "'SELECT tsv FROM rag.document_chunks WHERE chunking = %L AND language = %L\\:\\:regconfig', s.chunking, s.language"
    ")) w WHERE s.chunking = :chunking"
)


def refresh_word_statistics(engine: Engine, chunking: str) -> bool:
    """Count again if enough chunks were written or deleted since the last count; returns whether it counted."""
    with engine.begin() as connection:
        connection.execute(_LOCK)
        parser = str(connection.scalar(_PARSER, {"sample": _SAMPLE}))
        seen, scope = begin_count_of_chunks(connection, "word_statistics", chunking, parser)
        counted = connection.scalar(select(WordStatistics.counted).where(WordStatistics.chunking == chunking).limit(1))
        if counted and _is_unchanged(connection, scope.of_space(connection), counted):
            return False
        state = f"{_state(connection, chunking)} {parser}"
        is_outdated = _is_outdated(connection, chunking, state)
        if is_outdated:
            delete_word_statistics(connection, chunking)
            connection.execute(_COUNT_CHUNKS, {"chunking": chunking, "counted": state})
            connection.execute(_COUNT_LEXEMES, {"chunking": chunking})
    scope.save(engine, [Watermark(SPACE, seen, 0, {"counted": state if is_outdated else counted})])
    return is_outdated


def _is_unchanged(connection: Connection, mark: Watermark, counted: str) -> bool:
    """Whether this count was found recent enough, and no chunk was written since."""
    if mark.seen is None or mark.figures["counted"] != counted:
        return False
    written = exists().where(RowChange.document_id.is_not(None), is_unseen(mark.seen))
    return not connection.scalar(select(written))


def delete_word_statistics(connection: Connection, chunking: str) -> None:
    connection.execute(delete(Lexeme).where(Lexeme.chunking == chunking))
    connection.execute(delete(WordStatistics).where(WordStatistics.chunking == chunking))


def _state(connection: Connection, chunking: str) -> str:
    """A string that changes when chunks are written or deleted, read from narrow tables and indexes."""
    chunks = select(func.count()).where(DocumentChunk.chunking == chunking).scalar_subquery()
    written = func.sum(func.extract("epoch", DocumentChunking.updated_at))
    stamps = select(func.concat_ws(" ", chunks, func.count(), written)).where(DocumentChunking.chunking == chunking)
    return str(connection.scalar(stamps))


def _is_outdated(connection: Connection, chunking: str, state: str) -> bool:
    counted = connection.execute(select(*WordStatistics.__table__.c).where(WordStatistics.chunking == chunking)).all()
    now = int(state.split(" ")[0])
    if not counted:
        return now > 0
    then_state = counted[0].counted
    if then_state == state:
        return False
    # Empty where a migration has counted them.
    if then_state and then_state.split(" ")[-1] != state.split(" ")[-1]:
        return True
    languages = select(DocumentChunking.language).where(
        DocumentChunking.chunking == chunking, DocumentChunking.chunk_count > 0
    )
    if now < ALWAYS_RECOUNT_BELOW or set(connection.scalars(languages.distinct())) - {row.language for row in counted}:
        return True
    then = sum(row.chunks for row in counted)
    written = connection.scalar(
        select(func.coalesce(func.sum(DocumentChunking.chunk_count), 0)).where(
            DocumentChunking.chunking == chunking, DocumentChunking.updated_at >= counted[0].created_at
        )
    )
    # A chunk that replaced another one is one change.
    deleted = then + written - now
    return bool(max(written, deleted) >= RECOUNT_SHARE * then)
