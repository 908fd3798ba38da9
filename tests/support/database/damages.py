"""Damage to the tables, done without the pipeline: each with the exact set of checks that must fail."""

from dataclasses import dataclass

from sqlalchemy import Engine, text

from tests.support.pipeline.check_runs import change_database
from tests.support.pipeline.runs import rows

INDEX = "rag.ix_embeddings_1_hnsw"
# Two vectors with different texts. The order of hashes is effectively random, so they are not alike.
FIRST = "(SELECT content_hash FROM rag.embeddings ORDER BY content_hash LIMIT 1)"
LAST = "(SELECT content_hash FROM rag.embeddings ORDER BY content_hash DESC LIMIT 1)"
ONE_CHUNK = "(SELECT id FROM rag.document_chunks ORDER BY id LIMIT 1)"
ONE_DOCUMENT = "(SELECT id FROM rag.documents WHERE file_path = 'page03.md' ORDER BY id LIMIT 1)"
NO_INDEX = frozenset({"index_valid", "index_used", "recall_at_10"})


@dataclass(frozen=True)
class Damage:
    """Statements, and the names of the checks that must fail after them."""

    statements: tuple[str, ...]
    failing_checks: frozenset[str]

    def apply(self, engine: Engine) -> None:
        for statement in self.statements:
            change_database(engine, statement)


def damage(*statements: str, failing: set[str] | frozenset[str]) -> Damage:
    return Damage(statements, frozenset(failing))


DAMAGES: dict[str, Damage] = {
    "index dropped": damage(f"DROP INDEX {INDEX}", failing=NO_INDEX),
    "index invalid": damage(
        f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{INDEX}'::regclass", failing=NO_INDEX
    ),
    "wrong operator class": damage(
        f"DROP INDEX {INDEX}",
        "CREATE INDEX ix_embeddings_1_hnsw ON rag.embeddings_1 USING hnsw ((embedding::vector(384)) vector_l2_ops) "
        "WITH (m='16', ef_construction='128')",
        failing=NO_INDEX,
    ),
    "a hundredth of the vectors deleted": damage(
        "DELETE FROM rag.embeddings WHERE content_hash IN (SELECT content_hash FROM rag.embeddings "
        "ORDER BY content_hash LIMIT (SELECT ceil(count(*) * 0.01) FROM rag.embeddings))",
        failing={"texts_have_vectors", "serves_wanted_space"},
    ),
    "half of the vectors deleted": damage(
        "DELETE FROM rag.embeddings WHERE get_byte(content_hash, 0) % 2 = 0",
        failing={"texts_have_vectors", "serves_wanted_space"},
    ),
    "two vectors swapped": damage(
        "UPDATE rag.embeddings v SET embedding = o.embedding FROM rag.embeddings o "
        f"WHERE (v.content_hash, o.content_hash) IN (({FIRST}, {LAST}), ({LAST}, {FIRST}))",
        failing={"vectors_are_sound"},
    ),
    "one vector zeroed": damage(
        f"UPDATE rag.embeddings SET embedding = array_fill(0, ARRAY[384])::vector WHERE content_hash = {FIRST}",
        failing={"vectors_are_sound"},
    ),
    "one component of a vector changed": damage(
        "UPDATE rag.embeddings SET embedding = ((ARRAY[(embedding::real[])[1] + 0.01]) || (embedding::real[])[2:384])"
        f"::vector WHERE content_hash = {FIRST}",
        failing={"vectors_are_sound"},
    ),
    "one chunk's text changed": damage(
        f"UPDATE rag.document_chunks SET chunk_text = chunk_text || '!' WHERE id = {ONE_CHUNK}",
        failing={"offsets_reproduce_text"},
    ),
    "one chunk's text and hash changed": damage(
        "UPDATE rag.document_chunks SET chunk_text = 'Other words.', content_hash = sha256('Other words.') "
        f"WHERE id = {ONE_CHUNK}",
        failing={"offsets_reproduce_text", "texts_have_vectors", "no_orphan_vectors", "serves_wanted_space"},
    ),
    "a document's chunks deleted": damage(
        f"DELETE FROM rag.document_chunks WHERE document_id = {ONE_DOCUMENT}",
        failing={"documents_have_chunks", "no_orphan_vectors"},
    ),
    "a document deleted": damage(
        f"DELETE FROM rag.documents WHERE id = {ONE_DOCUMENT}",
        failing={"no_orphan_vectors"},
    ),
    "words added to a document": damage(
        f"UPDATE rag.documents SET content = content || ' More.' WHERE id = {ONE_DOCUMENT}",
        failing={"offsets_reproduce_text"},
    ),
    "a document's text and hash changed": damage(
        "UPDATE rag.documents SET content = 'Other words.', content_hash = sha256('Other words.') "
        f"WHERE id = {ONE_DOCUMENT}",
        failing={"documents_have_chunks"},
    ),
    "orphan vectors added": damage(
        "INSERT INTO rag.embeddings SELECT 1, sha256(content_hash), embedding FROM rag.embeddings "
        "ORDER BY content_hash LIMIT 3",
        failing={"no_orphan_vectors"},
    ),
    "offsets shifted by one": damage(
        "UPDATE rag.document_chunks SET char_start = char_start + 1, char_end = char_end + 1 "
        f"WHERE document_id = {ONE_DOCUMENT}",
        failing={"offsets_reproduce_text"},
    ),
    "ef_search 10": damage("UPDATE rag.embedding_spaces SET ef_search = 10", failing={"recall_at_10"}),
    "the pointer lost": damage("UPDATE rag.embedding_spaces SET status = 'building'", failing={"serves_wanted_space"}),
    "the view dropped": damage("DROP VIEW rag.live_chunks", failing={"serves_wanted_space"}),
}


def add_half_a_space(engine: Engine) -> None:
    """Add a second space, half of whose vectors are built."""
    with engine.begin() as connection:
        columns = connection.scalar(
            text(
                "SELECT string_agg(quote_ident(attname::text), ', ') FROM pg_attribute "
                "WHERE attrelid = 'rag.embedding_spaces'::regclass AND attnum > 0 AND NOT attisdropped "
                "AND attname NOT IN ('id', 'fingerprint', 'status')"
            )
        )
        space = (
            f"INSERT INTO rag.embedding_spaces (fingerprint, status, {columns}) "
            f"SELECT 'another', 'building', {columns} FROM rag.embedding_spaces"
        )
        half = (
            "INSERT INTO rag.embeddings SELECT 2, content_hash, embedding, checksum FROM rag.embeddings_1 "
            "WHERE get_byte(content_hash, 0) % 2 = 0"
        )
        table = "CREATE TABLE rag.embeddings_2 PARTITION OF rag.embeddings FOR VALUES IN (2)"
        for statement in (space, table, half):
            connection.execute(text(statement))


def pipeline_tables(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    """Everything that a clean run writes, without times and run ids."""
    without_varying = "- 'created_at' - 'updated_at' - 'run_id' - 'promoted_at'"
    return {
        name: rows(engine, f"SELECT to_jsonb(t) {without_varying} FROM rag.{name} t ORDER BY {order}")
        for name, order in (
            ("documents", "id"),
            ("document_chunks", "id"),
            ("document_chunkings", "document_id, chunking"),
            ("embeddings", "space_id, content_hash"),
            ("embedding_spaces", "id"),
            ("live_chunks", "id"),
        )
    }
