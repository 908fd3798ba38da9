"""Append messages to conversations, with versions that have no gaps, and delete them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cache
from typing import Any, Literal, get_args
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    Integer,
    Text,
    Uuid,
    bindparam,
    cast,
    column,
    func,
    insert,
    select,
    true,
    update,
)
from sqlalchemy.orm import make_transient_to_detached

from rag_assets.db.connections.compiled import CompiledStatement, compile_statement
from rag_assets.db.connections.execute import run_compiled
from rag_assets.db.models import Conversation, ConversationMessage
from rag_assets.errors import UsageError
from rag_assets.repositories.core import entities
from rag_assets.repositories.core.lineage import check_version, descendants
from rag_assets.repositories.core.values import parse_id, table_of, validate_row
from rag_assets.repositories.operations import conversations

Role = Literal["user", "assistant", "system", "tool"]

# The columns that a caller gives; the conversation and the database give the others.
_CALLER_COLUMNS = ("role", "content", "tool_call_id", "tool_name", "token_count", "model", "metadata", "created_at")

# UTF-8 bytes for a token of English, after OpenAI's help pages: an estimate for messages without a count.
BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to append. `token_count` None is estimated at four bytes a token; `created_at` None is now.

    Give `created_at` to import older messages; a conversation is ordered by version, not by time.
    """

    role: Role
    content: str
    token_count: int | None = None
    tool_call_id: str | None = None
    tool_name: str | None = None
    model: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None


def append(
    connection: Connection, conversation_id: UUID, message: NewMessage | Mapping[str, Any]
) -> ConversationMessage:
    """Append one message, a NewMessage or a mapping like `{"role": "user", "content": "…"}`; returns it as stored.

    Raises UsageError for an invalid message, and where the conversation does not exist or is deleted.
    """
    return append_many(connection, conversation_id, [message])[0]


def append_many(
    connection: Connection, conversation_id: UUID, messages: Sequence[NewMessage | Mapping[str, Any]]
) -> list[ConversationMessage]:
    """Append messages with consecutive versions, in the given order; returns them as stored.

    Concurrent calls on one conversation take turns, so that their messages do not mix. Raises UsageError as `append`
    does; then nothing is appended.
    """
    rows = [_validate_message(_new_message(message)) for message in messages]
    if not rows:
        return []
    id_ = parse_id("conversations.id", conversation_id)
    values = {
        "conversation": id_,
        "count": len(rows),
        "tokens": sum(row["token_count"] for row in rows),
        "messages": _to_json(rows),
    }
    inserted = run_compiled(connection, _append_statement(), values)
    if not inserted:
        conversations.get(connection, id_)
        raise UsageError(f"conversation {id_} changed during the call; append again.")
    pairs = zip(rows, sorted(inserted), strict=True)
    return [
        _detached_message(row, conversation_id=id_, version=v, id=key, created_at=at) for row, (v, key, at) in pairs
    ]


def _new_message(message: NewMessage | Mapping[str, Any]) -> NewMessage:
    """A NewMessage from a mapping, the format of chat APIs."""
    if not isinstance(message, Mapping):
        return message
    known = [one.name for one in fields(NewMessage)]
    if unknown := [str(name) for name in message if name not in known]:
        raise UsageError(f"a message has no {unknown[0]!r}; it has {', '.join(known)}.")
    if missing := [name for name in ("role", "content") if name not in message]:
        raise UsageError(f"the message has no {missing[0]!r}; give role and content.")
    return NewMessage(**message)


@cache
def _append_statement() -> CompiledStatement:
    """Count the conversation up and insert the messages, in one statement.

    The update locks the conversation until the commit, and a rollback also restores `latest_version`: versions have
    no gaps.
    """
    conversation, message = table_of(Conversation), table_of(ConversationMessage)
    count = bindparam("count", type_=BigInteger)
    counted = (
        update(conversation)
        .where(conversation.c.id == bindparam("conversation", type_=Uuid), conversation.c.deleted_at.is_(None))
        .values(
            latest_version=conversation.c.latest_version + count,
            message_count=conversation.c.message_count + count,
            total_tokens=conversation.c.total_tokens + bindparam("tokens", type_=BigInteger),
        )
        .returning((conversation.c.latest_version - count).label("before"), conversation.c.id)
        .cte("counted")
    )
    columns = [column(name, message.c[name].type) for name in _CALLER_COLUMNS]
    given = (
        func.json_to_recordset(cast(bindparam("messages", type_=Text), JSON))
        .table_valued(column("number", Integer), *columns)
        .render_derived(name="given", with_types=True)
    )
    added = {name: given.c[name] for name in _CALLER_COLUMNS} | {
        "conversation_id": counted.c.id,
        "version": counted.c.before + given.c.number,
        "content_hash": func.sha256(func.convert_to(given.c.content, "UTF8")),
        "created_at": func.coalesce(given.c.created_at, func.now()),
    }
    statement = insert(message).from_select(list(added), select(*added.values()).join_from(given, counted, true()))
    return compile_statement(statement.returning(message.c.version, message.c.id, message.c.created_at))


def _to_json(rows: Sequence[dict[str, Any]]) -> str:
    given = [
        {"number": number} | {name: row.get(name) for name in _CALLER_COLUMNS}
        for number, row in enumerate(rows, start=1)
    ]
    return json.dumps(given, ensure_ascii=False, default=datetime.isoformat)


def _detached_message(row: dict[str, Any], **generated: Any) -> ConversationMessage:
    message = ConversationMessage(**entities.values_by_attribute(ConversationMessage, row | generated), deleted_at=None)
    make_transient_to_detached(message)
    return message


def delete_message(connection: Connection, conversation_id: UUID, version: int) -> ConversationMessage:
    """Hide one message, here and in all forks that share it; returns it.

    Raises UsageError where the message belongs to an ancestor, does not exist or is deleted, and where the conversation
    does not exist or is deleted.
    """
    conversations.get(connection, conversation_id)
    id_ = parse_id("conversations.id", conversation_id)
    sharing = select(descendants(id_, check_version("version", version)).c.id)
    connection.execute(
        select(Conversation.id).where(Conversation.id.in_(sharing)).order_by(Conversation.id).with_for_update()
    )
    hidden = entities.fetch_all(
        connection,
        update(ConversationMessage)
        .where(ConversationMessage.conversation_id == id_, ConversationMessage.version == version)
        .where(ConversationMessage.deleted_at.is_(None))
        .values(deleted_at=func.now())
        .returning(ConversationMessage),
    )
    if not hidden:
        raise UsageError(
            f"version {version} is no message of conversation {id_} itself, or is deleted; "
            "delete a message from before a fork in the conversation that it was appended to."
        )
    message: ConversationMessage = hidden[0]
    connection.execute(
        update(Conversation)
        .where(Conversation.id.in_(sharing))
        .values(
            message_count=Conversation.message_count - 1,
            total_tokens=Conversation.total_tokens - message.token_count,
        )
    )
    return message


def _validate_message(message: NewMessage) -> dict[str, Any]:
    if message.role not in get_args(Role):
        raise UsageError(f"role is {message.role!r}; choose one of {', '.join(get_args(Role))}.")
    if message.role == "tool" and not message.tool_call_id:
        raise UsageError("tool_call_id is missing; give the id of the call that this message of the role tool answers.")
    row = validate_row(
        ConversationMessage,
        {
            "role": message.role,
            "content": message.content,
            "tool_call_id": message.tool_call_id,
            "tool_name": message.tool_name,
            "model": message.model,
            "metadata": message.metadata,
        }
        | ({} if message.created_at is None else {"created_at": message.created_at}),
    )
    tokens = message.token_count
    if tokens is None:
        tokens = -(-len(row["content"].encode()) // BYTES_PER_TOKEN)
    if tokens < 0:
        raise UsageError(f"token_count is {tokens}; give 0 or more.")
    return row | validate_row(ConversationMessage, {"token_count": tokens})
