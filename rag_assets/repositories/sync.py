# Generated from rag_assets/repositories/aio.py by .ci/async_to_sync.py: do not edit.
# Change rag_assets/repositories/aio.py, then run: python .ci/async_to_sync.py
"""The repositories for code without an event loop: classes with blocking methods.

Each method runs the function of the same name in `rag_assets.repositories.operations`, which documents it.
"""

from rag_assets.repositories.base import SyncRepository, synchronous
from rag_assets.repositories.core import purge as purging
from rag_assets.repositories.operations import (
    adapters,
    bulk,
    conversations,
    documents,
    forks,
    memories,
    messages,
    projects,
    recall,
    sessions,
    specializations,
    users,
)


class SyncUsers(SyncRepository):
    """The users of an application. Soft-deleted users are hidden and can be restored; purged ones are gone."""

    create = synchronous(users.create)
    get = synchronous(users.get, "read")
    find_by_email = synchronous(users.find_by_email, "read")
    update = synchronous(users.update)
    soft_delete = synchronous(users.soft_delete)
    restore = synchronous(users.restore)
    purge = synchronous(users.purge)


class SyncSessions(SyncRepository):
    """Login sessions of users, each known by a secret token of which only the hash is stored."""

    create = synchronous(sessions.create)
    authenticate = synchronous(sessions.authenticate, "read")
    touch = synchronous(sessions.touch)
    revoke = synchronous(sessions.revoke)
    revoke_all = synchronous(sessions.revoke_all)
    expire = synchronous(sessions.expire)


class SyncConversations(SyncRepository):
    """Conversations, their messages and their forks."""

    create = synchronous(conversations.create)
    get = synchronous(conversations.get, "read")
    list_by_user = synchronous(conversations.list_by_user, "read")
    rename = synchronous(conversations.rename)
    append = synchronous(messages.append)
    append_many = synchronous(messages.append_many)
    history = synchronous(messages.history, "read")
    window = synchronous(messages.window, "read")
    delete_message = synchronous(messages.delete_message)
    fork = synchronous(forks.fork)
    list_forks = synchronous(forks.list_forks, "read")
    soft_delete = synchronous(conversations.soft_delete)
    restore = synchronous(conversations.restore)
    purge = synchronous(purging.purge)


class SyncMessages(SyncRepository):
    append = synchronous(messages.append)
    append_many = synchronous(messages.append_many)
    history = synchronous(messages.history, "read")
    window = synchronous(messages.window, "read")
    delete = synchronous(messages.delete_message)


class SyncMemories(SyncRepository):
    """What an assistant remembers of a user, recalled by relevance, importance and recency."""

    remember = synchronous(memories.remember)
    recall = synchronous(recall.recall)
    get = synchronous(memories.get, "read")
    list_by_user = synchronous(memories.list_by_user, "read")
    forget = synchronous(memories.forget)
    expire = synchronous(memories.expire)
    purge = synchronous(memories.purge)


class SyncSpecializations(SyncRepository):
    """The roles that an assistant can take: a name, a system prompt and settings."""

    create = synchronous(specializations.create)
    get = synchronous(specializations.get, "read")
    find_by_name = synchronous(specializations.find_by_name, "read")
    list_all = synchronous(specializations.list_all, "read")
    update = synchronous(specializations.update)
    delete = synchronous(specializations.delete)


class SyncAdapters(SyncRepository):
    """LoRA adapters of specializations. One adapter for each specialization and base model serves."""

    create = synchronous(adapters.create)
    get = synchronous(adapters.get, "read")
    list_by_specialization = synchronous(adapters.list_by_specialization, "read")
    serving = synchronous(adapters.serving, "read")
    update = synchronous(adapters.update)
    promote = synchronous(adapters.promote)
    retire = synchronous(adapters.retire)
    delete = synchronous(adapters.delete)


class SyncProjects(SyncRepository):
    """Projects: a name, the address of the documents and the settings."""

    create = synchronous(projects.create)
    get = synchronous(projects.get, "read")
    list_all = synchronous(projects.list_all, "read")
    update = synchronous(projects.update)
    counts = synchronous(projects.counts, "read")
    delete = synchronous(projects.delete)


class SyncDocuments(SyncRepository):
    """The documents of projects."""

    save = synchronous(documents.save)
    get = synchronous(documents.get, "read")
    find_by_path = synchronous(documents.find_by_path, "read")
    list_by_project = synchronous(documents.list_by_project, "read")
    update = synchronous(documents.update)
    forget = synchronous(documents.forget)


class SyncBulk(SyncRepository):
    """Inserts or upserts of many rows into one table, by COPY, in one transaction."""

    insert_rows = synchronous(bulk.insert_rows, "once")
    upsert_rows = synchronous(bulk.upsert_rows, "once")
