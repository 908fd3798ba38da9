"""Messages of a conversation: appended without gaps, read through the ancestors, fitted into a budget."""

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

from rag_assets.db.connections.compiled import Compiled, compile_statement
from rag_assets.db.connections.execute import run_compiled
from rag_assets.db.models import Conversation, ConversationMessage
from rag_assets.errors import UsageError
from rag_assets.repositories.core import entities
from rag_assets.repositories.core.lineage import MAX_VERSION, descendants, readable_messages
from rag_assets.repositories.core.values import parse_id, table_of, validate_row
from rag_assets.repositories.operations import conversations

Role = Literal["user", "assistant", "system", "tool"]

# What a message is told by the caller; the rest is the conversation's or the database's.
_CALLER_COLUMNS = ("role", "content", "tool_call_id", "tool_name", "token_count", "model", "metadata", "created_at")

# Bytes of UTF-8 to a token of English, as OpenAI's help pages put it; good enough where nobody counted.
BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class NewMessage:
    """What is said; `token_count` None is estimated, at four bytes a token, `created_at` None is now.

    A time of its own is for what was said elsewhere before; the order in a conversation is that of the versions.
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
    """Add one message with the next version: a NewMessage, or a mapping like `{"role": "user", "content": "…"}`.

    Raises UsageError where the conversation is deleted or unknown.
    """
    return append_many(connection, conversation_id, [message])[0]


def append_many(
    connection: Connection, conversation_id: UUID, messages: Sequence[NewMessage | Mapping[str, Any]]
) -> list[ConversationMessage]:
    """Add messages with the next versions, in their order; writers to one conversation take turns, in whole calls."""
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
    made = run_compiled(connection, _append_statement(), values)
    if not made:
        conversations.get(connection, id_)
        raise UsageError(f"the conversation {id_} changed meanwhile; append again.")
    pairs = zip(rows, sorted(made), strict=True)
    return [
        _detached_message(row, conversation_id=id_, version=v, id=key, created_at=at) for row, (v, key, at) in pairs
    ]


def _new_message(message: NewMessage | Mapping[str, Any]) -> NewMessage:
    """A mapping, as chat APIs have them, as a NewMessage."""
    if not isinstance(message, Mapping):
        return message
    known = [one.name for one in fields(NewMessage)]
    if unknown := [str(name) for name in message if name not in known]:
        raise UsageError(f"a message has no {unknown[0]!r}; it has {', '.join(known)}.")
    if missing := [name for name in ("role", "content") if name not in message]:
        raise UsageError(f"the message has no {missing[0]!r}; give role and content.")
    return NewMessage(**message)


@cache
def _append_statement() -> Compiled:
    """One statement for all: the conversation is counted up, which locks it until the commit, and gets the messages.

    So its versions have no gap, for who fails gives them back.
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


def _detached_message(row: dict[str, Any], **made: Any) -> ConversationMessage:
    message = ConversationMessage(**entities.values_by_attribute(ConversationMessage, row | made), deleted_at=None)
    make_transient_to_detached(message)
    return message


def history(
    connection: Connection, conversation_id: UUID, *, up_to: int | None = None, limit: int | None = None
) -> list[ConversationMessage]:
    """What was said up to a version, oldest first, the ancestors' part included; `limit` keeps the newest."""
    conversations.get(connection, conversation_id)
    statement = readable_messages(parse_id("conversations.id", conversation_id), _version("up_to", up_to))
    newest = statement.order_by(ConversationMessage.version.desc())
    if limit is not None:
        newest = newest.limit(_version("limit", limit))
    return entities.fetch_all(connection, newest)[::-1]


def window(
    connection: Connection, conversation_id: UUID, *, budget_tokens: int, up_to: int | None = None
) -> list[ConversationMessage]:
    """What a model gets to see: the system messages, and of the others as many of the newest as fit, oldest first.

    The answer of a tool is left out where the call before it did not fit: models refuse one without the other.
    Raises UsageError where the system messages alone are more than the budget.
    """
    conversations.get(connection, conversation_id)
    statement = readable_messages(parse_id("conversations.id", conversation_id), _version("up_to", up_to))
    read = statement.with_only_columns(
        ConversationMessage.id, ConversationMessage.version, ConversationMessage.role, ConversationMessage.token_count
    ).cte("readable")
    system = read.c.role == "system"
    needed = connection.scalar(select(func.coalesce(func.sum(read.c.token_count).filter(system), 0))) or 0
    if needed > budget_tokens:
        raise UsageError(
            f"budget_tokens is {budget_tokens}, but the system message of conversation {conversation_id} "
            f"takes {needed}; give at least that."
        )
    so_far = func.sum(read.c.token_count).over(order_by=read.c.version.desc())
    others = select(read.c.id, so_far.label("so_far")).where(~system).subquery("others")
    chosen = select(others.c.id).where(others.c.so_far <= budget_tokens - needed)
    wanted = ConversationMessage.id.in_(select(read.c.id).where(system).union_all(chosen))
    found = entities.fetch_all(
        connection, select(ConversationMessage).where(wanted).order_by(ConversationMessage.version)
    )
    return _without_orphaned_tool_results(found)


def delete_message(connection: Connection, conversation_id: UUID, version: int) -> ConversationMessage:
    """Hide one message of this conversation, here and in all forks that read it."""
    conversations.get(connection, conversation_id)
    id_ = parse_id("conversations.id", conversation_id)
    readers = select(descendants(id_, _version("version", version)).c.id)
    connection.execute(
        select(Conversation.id).where(Conversation.id.in_(readers)).order_by(Conversation.id).with_for_update()
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
            "a message from before a fork is deleted in the conversation that it was said in."
        )
    message: ConversationMessage = hidden[0]
    connection.execute(
        update(Conversation)
        .where(Conversation.id.in_(readers))
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
        raise UsageError("tool_call_id is missing; a message of the role tool names the call that it answers.")
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


def _version(name: str, value: int | None) -> int:
    if value is None:
        return MAX_VERSION
    if not 1 <= value <= MAX_VERSION:
        raise UsageError(f"{name} is {value}; count from 1.")
    return value


def _without_orphaned_tool_results(messages: list[ConversationMessage]) -> list[ConversationMessage]:
    kept: list[ConversationMessage] = []
    begun = False
    for message in messages:
        begun = begun or message.role in ("user", "assistant")
        if begun or message.role == "system":
            kept.append(message)
    return kept
