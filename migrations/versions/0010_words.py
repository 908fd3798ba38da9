"""Search words per language and inside names: index the parts of compound names, and store word vectors inline."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

LOCKS = {"document_chunks": "rewritten with word vectors inline, while nothing searches or ingests"}

# PostgreSQL's parser keeps `os.path`, `and/or` and `me@x.org` whole, so that `path` does not match them, but splits
# `os-path` into its parts; and it reads the `-404` in `ERR-404` as a negative number.
HYPHENATED = r"""
CREATE FUNCTION rag.hyphenated(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN regexp_replace(
    regexp_replace($1, '[./:_@\\]+(?=[[:alpha:]])|(?<=[[:alpha:]])[/:_@\\]+', '-', 'g'),
    '(?<=[[:alnum:]])-(?=[[:digit:]])', ' ', 'g'
)
"""
COUNT_LEXEMES = """
INSERT INTO rag.lexemes (chunking, language, lexeme, documents)
SELECT s.chunking, s.language, w.word, w.ndoc FROM rag.word_statistics s CROSS JOIN LATERAL ts_stat(format(
    'SELECT tsv FROM rag.document_chunks WHERE chunking = %L AND language = %L::regconfig', s.chunking, s.language
)) w
"""


def upgrade() -> None:
    # Not through SQLAlchemy's text(), which would read `:alpha` as a parameter.
    op.get_bind().exec_driver_sql(HYPHENATED)
    # One command, so that the table is rewritten once. The vectors are stored inline (MAIN): scoring reads thousands
    # of them per query, and each would cost five times as much from the TOAST table.
    op.execute(
        "ALTER TABLE rag.document_chunks DROP COLUMN tsv, ADD COLUMN tsv tsvector NOT NULL "
        "GENERATED ALWAYS AS (to_tsvector(language, rag.hyphenated(chunk_text))) STORED, "
        "ALTER COLUMN tsv SET STORAGE MAIN"
    )
    op.create_index("ix_document_chunks_tsv", "document_chunks", ["tsv"], schema="rag", postgresql_using="gin")
    op.add_column("document_chunkings", _language(), schema="rag")
    op.execute("TRUNCATE rag.lexemes, rag.word_statistics")
    for table, keys in (("lexemes", ["chunking", "language", "lexeme"]), ("word_statistics", ["chunking", "language"])):
        op.drop_constraint(f"pk_{table}", table, schema="rag")
        op.add_column(table, sa.Column("language", postgresql.REGCONFIG(), nullable=False), schema="rag")
        op.create_primary_key(f"pk_{table}", table, keys, schema="rag")
    op.execute(
        "INSERT INTO rag.word_statistics (chunking, language, chunks, mean_tokens, counted) "
        "SELECT chunking, language, count(*), avg(token_count), '' FROM rag.document_chunks GROUP BY chunking, language"
    )
    op.get_bind().exec_driver_sql(COUNT_LEXEMES.replace("%", "%%"))


def downgrade() -> None:
    op.execute(
        "ALTER TABLE rag.document_chunks DROP COLUMN tsv, ADD COLUMN tsv tsvector NOT NULL "
        "GENERATED ALWAYS AS (to_tsvector(language, chunk_text)) STORED"
    )
    op.execute("DROP FUNCTION rag.hyphenated(text)")
    op.create_index("ix_document_chunks_tsv", "document_chunks", ["tsv"], schema="rag", postgresql_using="gin")
    op.drop_column("document_chunkings", "language", schema="rag")
    # The next run counts them again.
    op.execute("TRUNCATE rag.lexemes, rag.word_statistics")
    for table, keys in (("lexemes", ["chunking", "lexeme"]), ("word_statistics", ["chunking"])):
        op.drop_constraint(f"pk_{table}", table, schema="rag")
        op.drop_column(table, "language", schema="rag")
        op.create_primary_key(f"pk_{table}", table, keys, schema="rag")


def _language() -> sa.Column[str]:
    return sa.Column("language", postgresql.REGCONFIG(), server_default=sa.text("'english'::regconfig"), nullable=False)
