"""Erase a user: sessions, keys, conversations, memories, their vectors, and the name among the readers of documents."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from rag_assets.errors import UsageError
from rag_assets.repositories.core.orphans import delete_orphaned_vectors
from rag_assets.repositories.erasure.traces import ErasureReport, Traces, bind_values, compare_counts, count_traces
from rag_assets.repositories.operations import users

# Readers name a user as they were declared; addresses and ids are compared regardless of case, as the policies do.
_FIND = text("SELECT id, email FROM rag.users WHERE lower(email) = lower(:given) OR id\\:\\:text = lower(:given)")
_CONVERSATIONS = "SELECT id FROM rag.conversations WHERE user_id = ANY (:ids)"
_TEXTS = {
    "messages": text(
        f"SELECT DISTINCT content_hash FROM rag.conversation_messages WHERE conversation_id IN ({_CONVERSATIONS})"
    ),
    "memories": text("SELECT DISTINCT content_hash FROM rag.memories WHERE user_id = ANY (:ids)"),
}
# By the names of the user, and by the keys that are removed with it.
_ASKED = "lower(user_name) = ANY (:names) OR lower(caller) = ANY (:names) AND caller_id LIKE 'oidc:%'"
_NAMES_READER = "EXISTS (SELECT FROM unnest(readers) r WHERE lower(r) = ANY (:readers))"
_VECTORS = (
    "SELECT count(*) FROM rag.embeddings v JOIN rag.embedding_spaces s ON s.id = v.space_id "
    "WHERE (s.kind = 'messages' AND v.content_hash = ANY (:messages) OR s.kind = 'memories' "
    "AND v.content_hash = ANY (:memories))"
)
_USED_BY_OTHERS = (
    "s.kind = 'messages' AND EXISTS (SELECT FROM rag.conversation_messages m WHERE m.content_hash = v.content_hash "
    f"AND m.conversation_id NOT IN ({_CONVERSATIONS})) OR s.kind = 'memories' AND EXISTS (SELECT FROM rag.memories m "
    "WHERE m.content_hash = v.content_hash AND (m.user_id IS NULL OR m.user_id <> ALL (:ids)))"
)
_TRACES = {
    "users": text("SELECT count(*) FROM rag.users WHERE id = ANY (:ids)"),
    "sessions": text("SELECT count(*) FROM rag.sessions WHERE user_id = ANY (:ids)"),
    "api_keys": text("SELECT count(*) FROM rag.api_keys WHERE lower(user_name) = ANY (:names)"),
    "audit_entries": text(f"SELECT count(*) FROM rag.audit_entries WHERE {_ASKED}"),
    "conversations": text("SELECT count(*) FROM rag.conversations WHERE user_id = ANY (:ids)"),
    "conversation_messages": text(
        "SELECT count(*) FROM rag.conversation_messages m WHERE (conversation_id IN "
        f"({_CONVERSATIONS}) OR id = ANY (:message_ids)) AND m.content <> :erased"
    ),
    "memories": text("SELECT count(*) FROM rag.memories WHERE user_id = ANY (:ids)"),
    "embeddings": text(f"{_VECTORS} AND NOT ({_USED_BY_OTHERS})"),
    "embedding_failures": text(f"{_VECTORS.replace('embeddings', 'embedding_failures')} AND NOT ({_USED_BY_OTHERS})"),
    "documents.readers": text(f"SELECT count(*) FROM rag.documents WHERE {_NAMES_READER}"),
    "projects.readers": text(
        "SELECT count(*) FROM rag.projects WHERE jsonb_typeof(settings -> 'readers') = 'array' AND EXISTS "
        "(SELECT FROM jsonb_array_elements_text(settings -> 'readers') r WHERE lower(r) = ANY (:readers))"
    ),
}
_SHARED_VECTORS = text(f"{_VECTORS} AND ({_USED_BY_OTHERS})")
_MESSAGE_IDS = text(f"SELECT id FROM rag.conversation_messages WHERE conversation_id IN ({_CONVERSATIONS})")
# Of conversations that others have forked: their forks keep the places of these messages, without the texts.
_ERASE_SHARED = text(
    "UPDATE rag.conversation_messages m SET content = :erased, content_hash = sha256(convert_to(:erased, 'UTF8')), "
    "metadata = '{}', tool_name = NULL, model = NULL, token_count = 0 "
    f"WHERE conversation_id IN ({_CONVERSATIONS}) AND version <= (SELECT max(f.fork_version) "
    "FROM rag.conversations f WHERE f.parent_id = m.conversation_id)"
)
_REMOVALS = (
    text(f"DELETE FROM rag.audit_entries WHERE {_ASKED}"),
    text("DELETE FROM rag.api_keys WHERE lower(user_name) = ANY (:names)"),
    # Without another reader, a document is nobody's, and not everyone's.
    text(
        "UPDATE rag.documents SET readers = ARRAY(SELECT r FROM unnest(readers) r WHERE lower(r) <> ALL (:readers)) "
        f"WHERE {_NAMES_READER}"
    ),
    text(
        "UPDATE rag.projects SET settings = jsonb_set(settings, '{readers}', (SELECT coalesce(jsonb_agg(r), '[]') "
        "FROM jsonb_array_elements_text(settings -> 'readers') r WHERE lower(r) <> ALL (:readers))) "
        "WHERE jsonb_typeof(settings -> 'readers') = 'array' AND EXISTS "
        "(SELECT FROM jsonb_array_elements_text(settings -> 'readers') r WHERE lower(r) = ANY (:readers))"
    ),
)
ERASED = "[forgotten]"
NOTES = (
    "declarations of readers elsewhere (.access.yaml, rows, projects.yaml) name the user until you edit them",
    "documents and conversations of others may mention the user: forget documents with --document",
    "backups, WAL archives, Dagster's history, and pages until the database vacuums them, keep what they have",
)


def erase_user(engine: Engine, given: str, *, dry_run: bool = False) -> ErasureReport:
    """Remove everything of the user with this e-mail address, id or name, and compare before and after.

    Forks of the user's conversations by others keep their messages, each with the text `[forgotten]`. Removes nothing
    with `dry_run`.
    """
    if not given.strip():
        raise UsageError("the user is empty; give an e-mail address, an id, or a name as documents declare it.")
    with engine.begin() as connection:
        values = _values(connection, given)
        traces: Traces = {table: bind_values(count, values) for table, count in _TRACES.items()}
        before = count_traces(connection, traces)
        if not dry_run:
            _remove(connection, values)
    with engine.connect() as connection:
        after = count_traces(connection, traces)
        shared = int(connection.scalar(bind_values(_SHARED_VECTORS, values)) or 0)
    return ErasureReport("user", given, compare_counts(before, after), shared, NOTES)


def _remove(connection: Connection, values: dict[str, Any]) -> None:
    connection.execute(bind_values(_ERASE_SHARED, values))
    ids: Sequence[UUID] = values["ids"]
    for id_ in ids:
        users.purge(connection, id_)
    for statement in _REMOVALS:
        connection.execute(bind_values(statement, values))
    # Also those of messages whose texts were replaced.
    for kind in ("messages", "memories"):
        delete_orphaned_vectors(connection, kind, values[kind])


def _values(connection: Connection, given: str) -> dict[str, Any]:
    rows = connection.execute(_FIND, {"given": given.strip()}).all()
    names = {given.strip().lower(), *(name.lower() for row in rows for name in (str(row.id), row.email))}
    values: dict[str, Any] = {
        "ids": [row.id for row in rows],
        "names": sorted(names),
        "readers": sorted(f"user:{name}" for name in names),
        "erased": ERASED,
    }
    for kind, statement in _TEXTS.items():
        values[kind] = list(connection.scalars(bind_values(statement, values)))
    return values | {"message_ids": list(connection.scalars(bind_values(_MESSAGE_IDS, values)))}
