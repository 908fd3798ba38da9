# Generated from rag_assets/repositories/aio.py by .ci/async_to_sync.py: do not edit.
# Change rag_assets/repositories/aio.py, then run: python .ci/async_to_sync.py
"""The repositories for code without an event loop: classes with blocking methods.

Each method runs the function of the same name in `rag_assets.repositories.operations`, which documents it.
"""

from rag_assets.repositories.base import SyncRepository, sync_method
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


class SyncUsers(SyncRepository):
    """The users of an application. Soft-deleted users are hidden and can be restored; purged ones are gone."""

    create = sync_method(users.create)
    get = sync_method(users.get, "read")
    find_by_email = sync_method(users.find_by_email, "read")
    update = sync_method(users.update)
    soft_delete = sync_method(users.soft_delete)
    restore = sync_method(users.restore)
    purge = sync_method(users.purge)


class SyncSessions(SyncRepository):
    """Login sessions of users, authenticated by a secret token; only its hash is stored."""

    create = sync_method(sessions.create)
    authenticate = sync_method(sessions.authenticate, "read")
    touch = sync_method(sessions.touch)
    revoke = sync_method(sessions.revoke)
    revoke_all = sync_method(sessions.revoke_all)
    delete_expired = sync_method(sessions.delete_expired)
    expire = sync_method(sessions.expire)


class SyncConversations(SyncRepository):
    """Conversations with their messages and forks. Messages are numbered by version, from 1, without gaps."""

    create = sync_method(conversations.create)
    get = sync_method(conversations.get, "read")
    list_by_user = sync_method(conversations.list_by_user, "read")
    rename = sync_method(conversations.rename)
    append = sync_method(messages.append)
    append_many = sync_method(messages.append_many)
    history = sync_method(message_history.history, "read")
    window = sync_method(message_history.window, "read")
    delete_message = sync_method(messages.delete_message)
    fork = sync_method(conversations.fork)
    list_forks = sync_method(conversations.list_forks, "read")
    soft_delete = sync_method(conversations.soft_delete)
    restore = sync_method(conversations.restore)
    purge = sync_method(purge_conversation)


class SyncMessages(SyncRepository):
    """The messages of conversations, with the operations of `Conversations`."""

    append = sync_method(messages.append)
    append_many = sync_method(messages.append_many)
    history = sync_method(message_history.history, "read")
    window = sync_method(message_history.window, "read")
    delete = sync_method(messages.delete_message)


class SyncMemories(SyncRepository):
    """What an assistant remembers of a user, recalled by relevance, importance and recency."""

    remember = sync_method(memories.remember)
    record_recall = sync_method(recall.record_recall)
    recall = sync_method(recall.recall)
    get = sync_method(memories.get, "read")
    list_by_user = sync_method(memories.list_by_user, "read")
    forget = sync_method(memories.forget)
    expire = sync_method(memories.expire)
    purge = sync_method(memories.purge)


class SyncSpecializations(SyncRepository):
    """The roles that an assistant can take: a name, a system prompt and settings."""

    create = sync_method(specializations.create)
    get = sync_method(specializations.get, "read")
    find_by_name = sync_method(specializations.find_by_name, "read")
    list_all = sync_method(specializations.list_all, "read")
    update = sync_method(specializations.update)
    delete = sync_method(specializations.delete)


class SyncAdapters(SyncRepository):
    """LoRA adapters of specializations. One adapter for each specialization and base model serves."""

    create = sync_method(adapters.create)
    get = sync_method(adapters.get, "read")
    list_by_specialization = sync_method(adapters.list_by_specialization, "read")
    serving = sync_method(adapters.serving, "read")
    update = sync_method(adapters.update)
    promote = sync_method(adapters.promote)
    retire = sync_method(adapters.retire)
    delete = sync_method(adapters.delete)


class SyncProjects(SyncRepository):
    """Projects: a name, the address of the documents and the settings."""

    create = sync_method(projects.create)
    get = sync_method(projects.get, "read")
    list_all = sync_method(projects.list_all, "read")
    update = sync_method(projects.update)
    rename = sync_method(projects.rename)
    counts = sync_method(projects.counts, "read")
    delete = sync_method(projects.delete)


class SyncDocuments(SyncRepository):
    """The documents of projects."""

    save = sync_method(documents.save)
    get = sync_method(documents.get, "read")
    find_by_path = sync_method(documents.find_by_path, "read")
    list_by_project = sync_method(documents.list_by_project, "read")
    update = sync_method(documents.update)
    delete = sync_method(documents.delete)
    forget = sync_method(documents.forget)


class SyncBulk(SyncRepository):
    """Inserts or upserts of many rows into one table, by COPY, in one transaction."""

    insert_rows = sync_method(bulk.insert_rows, "write_once")
    upsert_rows = sync_method(bulk.upsert_rows, "write_once")
