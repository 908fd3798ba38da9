"""The places where commands are struck, and how the server tells that a command is there."""

from dataclasses import dataclass

PROJECT = "zoo"
# The sessions of the command.
_SESSIONS = (
    "SELECT pid, concat_ws(' | ', application_name, state, wait_event, "
    "left(regexp_replace(query, '\\s+', ' ', 'g'), 90)) "
    "FROM pg_stat_activity WHERE datname = current_database() AND application_name <> 'torture' AND "
)
# A statement that is held in the middle, its rows written.
_PAUSED = f"{_SESSIONS} wait_event = 'PgSleep' AND query ~* %(pattern)s"
_PAUSE_S = 0.4
_FUNCTION = "CREATE FUNCTION torture.{} RETURNS {} LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep({}); {}END $$"
_PAUSE = (
    "CREATE SCHEMA torture",
    _FUNCTION.format("pause()", "trigger", _PAUSE_S, "RETURN NULL; "),
    _FUNCTION.format("pause_ddl()", "event_trigger", _PAUSE_S, ""),
    "GRANT USAGE ON SCHEMA torture TO PUBLIC",
)
# Once the blow has fallen, nothing holds a statement any more.
_SET_IN_DATABASE = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I {}', current_database()); END $$"
_SLOW_VACUUM = tuple(
    _SET_IN_DATABASE.format(f"SET {name} = {value}")
    for name, value in (("vacuum_cost_delay", "10"), ("vacuum_cost_limit", "10"), ("vacuum_cost_page_hit", "10"))
)
END_PAUSES = ("DROP SCHEMA IF EXISTS torture CASCADE", _SET_IN_DATABASE.format("RESET ALL"))


@dataclass(frozen=True)
class Moment:
    """A moment of a command: `aim` finds the session that is there, `pauses` make the server stay there for a while."""

    name: str
    aim: str
    pattern: str = ""
    pauses: tuple[str, ...] = ()
    encode_s: float = 0.0
    copy_row_s: float = 0.0
    read_s: float = 0.0


@dataclass(frozen=True)
class Place:
    """A command on a copy of the database `state`, changed by `prepare`; the moments are taken in turn.

    `when_done` is the exit code of the command where its work is done already.
    """

    name: str
    state: str
    command: tuple[str, ...]
    moments: tuple[Moment, ...]
    prepare: tuple[str, ...] = ()
    when_done: int = 0


def _paused(name: str, pattern: str, *pauses: str) -> Moment:
    return Moment(name, _PAUSED, pattern, (*_PAUSE, *pauses))


def _after(table: str, event: str, when: str = "") -> str:
    scope = f"ROW WHEN ({when})" if when else "STATEMENT"
    return f"CREATE TRIGGER torture AFTER {event} ON rag.{table} FOR EACH {scope} EXECUTE FUNCTION torture.pause()"


def _after_ddl(tag: str) -> str:
    return f"CREATE EVENT TRIGGER torture ON ddl_command_end WHEN TAG IN ('{tag}') EXECUTE FUNCTION torture.pause_ddl()"


def _holding(name: str, lock: str, condition: str = "true", *, encode_s: float = 0.0, read_s: float = 0.0) -> Moment:
    """The session that holds this lock of ours, idle, while its client works."""
    key = f"hashtextextended('rag_assets.{lock}', 0)"
    holder = (
        "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
        f"AND (classid::bigint << 32 | objid::bigint) = {key}) AND state = 'idle' AND {condition}"
    )
    return Moment(name, f"{_SESSIONS} {holder}", encode_s=encode_s, read_s=read_s)


def _building(command: str) -> Moment:
    return Moment(
        "building the graph",
        "SELECT pid, concat_ws(' | ', command, phase, blocks_done || ' of ' || blocks_total || ' blocks') "
        f"FROM pg_stat_progress_create_index WHERE datname = current_database() AND command = '{command}' "
        "AND phase LIKE 'building index%%'",
    )


INGEST = ("ingest", "--project", PROJECT)
_BECOMES_LIVE = "NEW.status = 'live' AND OLD.status <> 'live'"
_IN_VACUUM = (
    "SELECT pid, concat_ws(' | ', 'VACUUM', relid::regclass, phase) FROM pg_stat_progress_vacuum "
    "WHERE datname = current_database()"
)

# Documents whose next version is read, split and staged, and then changes hands.
EDITED = (
    "UPDATE rag.documents SET content = content || ' Old.', hash = NULL, source_version = NULL WHERE file_path < '10'",
    "UPDATE rag.documents SET content_hash = sha256(convert_to(content, 'UTF8')) WHERE file_path < '10'",
)
PLACES = (
    Place(
        "reading",
        "empty",
        INGEST,
        (_holding("between two documents", f"raw_documents of {PROJECT}", read_s=0.01),),
        prepare=("UPDATE rag.projects SET source_uri = source_uri || '_to_parse'",),
    ),
    Place(
        "COPY",
        "empty",
        INGEST,
        tuple(
            Moment(
                name,
                "SELECT pid, concat_ws(' | ', p.command, p.type, left(a.query, 60)) FROM pg_stat_progress_copy p "
                "JOIN pg_stat_activity a USING (pid) WHERE p.datname = current_database() AND a.query ~ %(pattern)s",
                name,
                copy_row_s=0.004,
            )
            for name in ("incoming_documents", "incoming_chunks", "incoming_embeddings")
        ),
    ),
    Place(
        "merge",
        "empty",
        INGEST,
        (
            _paused("documents written", "^INSERT INTO rag.documents", _after("documents", "INSERT")),
            _paused("chunks written", "^INSERT INTO rag.document_chunks", _after("document_chunks", "INSERT")),
            _paused("chunks stamped", "^INSERT INTO rag.document_chunkings", _after("document_chunkings", "INSERT")),
        ),
    ),
    Place(
        "embedding",
        "empty",
        INGEST,
        (
            _holding(
                "some texts embedded",
                f"embeddings of {PROJECT} in space 1",
                "(SELECT count(*) FROM rag.embeddings) >= 100",
                encode_s=0.03,
            ),
        ),
    ),
    Place(
        "change of hands",
        "ingested",
        INGEST,
        (
            _paused("text replaced", "^UPDATE rag.documents SET", _after("documents", "UPDATE")),
            _paused("chunks replaced", "^INSERT INTO rag.document_chunks ", _after("document_chunks", "INSERT")),
        ),
        prepare=EDITED,
    ),
    Place("index build (first)", "empty", INGEST, (_building("CREATE INDEX"),)),
    Place(
        "index build (concurrent)",
        "ingested",
        INGEST,
        (_building("CREATE INDEX CONCURRENTLY"),),
        prepare=("DROP INDEX rag.ix_embeddings_1_hnsw",),
    ),
    Place(
        "flip",
        "two spaces",
        ("spaces", "promote", "1"),
        (
            _paused(
                "space marked", "^UPDATE rag.embedding_spaces", _after("embedding_spaces", "UPDATE", _BECOMES_LIVE)
            ),
            _paused("view replaced", "^CREATE (OR REPLACE )?VIEW", _after_ddl("CREATE VIEW")),
        ),
    ),
    Place(
        "retirement",
        "two spaces",
        ("spaces", "retire", "1"),
        (
            _paused("partition dropped", "^DROP TABLE", _after_ddl("DROP TABLE")),
            _paused(
                "chunks of the old chunking", "^DELETE FROM rag.document_chunks", _after("document_chunks", "DELETE")
            ),
        ),
        # There is no space 1 any more.
        when_done=2,
    ),
    Place(
        "maintenance",
        "worn",
        ("maintain",),
        (
            Moment("VACUUM", _IN_VACUUM, pauses=_SLOW_VACUUM),
            _paused("orphans deleted", "DELETE FROM rag.embeddings_1 ", _after("embeddings_1", "DELETE")),
        ),
    ),
    Place(
        "migration",
        "old",
        ("db", "upgrade"),
        (
            _paused("table rewritten", "DROP COLUMN tsv, ADD COLUMN tsv", _after_ddl("ALTER TABLE")),
            _paused("index of words built", "CREATE INDEX ix_document_chunks_tsv", _after_ddl("CREATE INDEX")),
            _paused("words counted", "INSERT INTO rag.lexemes", _after("lexemes", "INSERT")),
        ),
    ),
    Place(
        "checks",
        "ingested",
        ("check",),
        (
            # Any of the statements that look at rows: each takes a few milliseconds.
            Moment("of rows", f"{_SESSIONS} state = 'active' AND query ~ %(pattern)s", "rag.(document|embeddings_1)"),
        ),
    ),
)
