"""The repositories for asyncio: classes with async methods.

Each method runs the function of the same name in `rag_assets.repositories.operations`, which documents it.
"""

from rag_assets.repositories.base import Repository, async_method
from rag_assets.repositories.core.purge import purge_conversation
from rag_assets.repositories.operations import (
    adapters,
    bulk,
    conversations,
    documents,
    memories,
    message_history,
    messages,
    projects,
    recall,
    sessions,
    specializations,
    users,
)


class Users(Repository):
    """The users of an application. Soft-deleted users are hidden and can be restored; purged ones are gone."""

    create = async_method(users.create)
    get = async_method(users.get, "read")
    find_by_email = async_method(users.find_by_email, "read")
    update = async_method(users.update)
    soft_delete = async_method(users.soft_delete)
    restore = async_method(users.restore)
    purge = async_method(users.purge)


class Sessions(Repository):
    """Login sessions of users, authenticated by a secret token; only its hash is stored."""

    create = async_method(sessions.create)
    authenticate = async_method(sessions.authenticate, "read")
    touch = async_method(sessions.touch)
    revoke = async_method(sessions.revoke)
    revoke_all = async_method(sessions.revoke_all)
    delete_expired = async_method(sessions.delete_expired)
    expire = async_method(sessions.expire)


class Conversations(Repository):
    """Conversations with their messages and forks. Messages are numbered by version, from 1, without gaps."""

    create = async_method(conversations.create)
    get = async_method(conversations.get, "read")
    list_by_user = async_method(conversations.list_by_user, "read")
    rename = async_method(conversations.rename)
    append = async_method(messages.append)
    append_many = async_method(messages.append_many)
    history = async_method(message_history.history, "read")
    window = async_method(message_history.window, "read")
    delete_message = async_method(messages.delete_message)
    fork = async_method(conversations.fork)
    list_forks = async_method(conversations.list_forks, "read")
    soft_delete = async_method(conversations.soft_delete)
    restore = async_method(conversations.restore)
    purge = async_method(purge_conversation)


class Messages(Repository):
    """The messages of conversations, with the operations of `Conversations`."""

    append = async_method(messages.append)
    append_many = async_method(messages.append_many)
    history = async_method(message_history.history, "read")
    window = async_method(message_history.window, "read")
    delete = async_method(messages.delete_message)


class Memories(Repository):
    """What an assistant remembers of a user, recalled by relevance, importance and recency."""

    remember = async_method(memories.remember)
    record_recall = async_method(recall.record_recall)
    recall = async_method(recall.recall)
    get = async_method(memories.get, "read")
    list_by_user = async_method(memories.list_by_user, "read")
    forget = async_method(memories.forget)
    expire = async_method(memories.expire)
    purge = async_method(memories.purge)


class Specializations(Repository):
    """The roles that an assistant can take: a name, a system prompt and settings."""

    create = async_method(specializations.create)
    get = async_method(specializations.get, "read")
    find_by_name = async_method(specializations.find_by_name, "read")
    list_all = async_method(specializations.list_all, "read")
    update = async_method(specializations.update)
    delete = async_method(specializations.delete)


class Adapters(Repository):
    """LoRA adapters of specializations. One adapter for each specialization and base model serves."""

    create = async_method(adapters.create)
    get = async_method(adapters.get, "read")
    list_by_specialization = async_method(adapters.list_by_specialization, "read")
    serving = async_method(adapters.serving, "read")
    update = async_method(adapters.update)
    promote = async_method(adapters.promote)
    retire = async_method(adapters.retire)
    delete = async_method(adapters.delete)


class Projects(Repository):
    """Projects: a name, the address of the documents and the settings."""

    create = async_method(projects.create)
    get = async_method(projects.get, "read")
    list_all = async_method(projects.list_all, "read")
    update = async_method(projects.update)
    rename = async_method(projects.rename)
    counts = async_method(projects.counts, "read")
    delete = async_method(projects.delete)


class Documents(Repository):
    """The documents of projects."""

    save = async_method(documents.save)
    get = async_method(documents.get, "read")
    find_by_path = async_method(documents.find_by_path, "read")
    list_by_project = async_method(documents.list_by_project, "read")
    update = async_method(documents.update)
    delete = async_method(documents.delete)
    forget = async_method(documents.forget)


class Bulk(Repository):
    """Inserts or upserts of many rows into one table, by COPY, in one transaction."""

    insert_rows = async_method(bulk.insert_rows, "write_once")
    upsert_rows = async_method(bulk.upsert_rows, "write_once")
