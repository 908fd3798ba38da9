"""Read the messages of a conversation, with those that it shares with its ancestors."""

from uuid import UUID

from sqlalchemy import Connection, func, select

from rag_assets.db.models import ConversationMessage
from rag_assets.errors import UsageError
from rag_assets.repositories.core import entities
from rag_assets.repositories.core.lineage import check_version, readable_messages
from rag_assets.repositories.core.values import parse_id
from rag_assets.repositories.operations import conversations


def history(
    connection: Connection, conversation_id: UUID, *, up_to: int | None = None, limit: int | None = None
) -> list[ConversationMessage]:
    """The messages up to the version `up_to`, oldest first; with `limit` only the newest ones.

    Raises UsageError where the conversation does not exist or is deleted.
    """
    conversations.get(connection, conversation_id)
    statement = readable_messages(parse_id("conversations.id", conversation_id), check_version("up_to", up_to))
    newest = statement.order_by(ConversationMessage.version.desc())
    if limit is not None:
        newest = newest.limit(check_version("limit", limit))
    return entities.fetch_all(connection, newest)[::-1]


def window(
    connection: Connection, conversation_id: UUID, *, budget_tokens: int, up_to: int | None = None
) -> list[ConversationMessage]:
    """The messages for a model's context: all system messages, and as many of the newest others as fit, oldest first.

    A tool's result is left out where its call does not fit, since models refuse one without the other. Raises
    UsageError where the system messages alone exceed `budget_tokens`, and where the conversation does not exist or is
    deleted.
    """
    conversations.get(connection, conversation_id)
    messages = readable_messages(parse_id("conversations.id", conversation_id), check_version("up_to", up_to))
    visible = messages.with_only_columns(
        ConversationMessage.id, ConversationMessage.version, ConversationMessage.role, ConversationMessage.token_count
    ).cte("readable")
    is_system = visible.c.role == "system"
    system_tokens = connection.scalar(select(func.coalesce(func.sum(visible.c.token_count).filter(is_system), 0))) or 0
    if system_tokens > budget_tokens:
        raise UsageError(
            f"budget_tokens is {budget_tokens}, but the system message of conversation {conversation_id} "
            f"takes {system_tokens}; give at least that."
        )
    running_total = func.sum(visible.c.token_count).over(order_by=visible.c.version.desc())
    others = select(visible.c.id, running_total.label("running_total")).where(~is_system).subquery("others")
    fitting = select(others.c.id).where(others.c.running_total <= budget_tokens - system_tokens)
    wanted = ConversationMessage.id.in_(select(visible.c.id).where(is_system).union_all(fitting))
    statement = select(ConversationMessage).where(wanted).order_by(ConversationMessage.version)
    return _without_orphaned_tool_results(entities.fetch_all(connection, statement))


def _without_orphaned_tool_results(messages: list[ConversationMessage]) -> list[ConversationMessage]:
    """Without the tool results before the first message of user or assistant: their call did not fit."""
    kept: list[ConversationMessage] = []
    call_may_be_included = False
    for message in messages:
        call_may_be_included = call_may_be_included or message.role in ("user", "assistant")
        if call_may_be_included or message.role == "system":
            kept.append(message)
    return kept
