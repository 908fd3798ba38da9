"""The repositories for asyncio: classes with async methods.

Each method runs the function of the same name in `rag_assets.repositories.operations`, which documents it.
"""

from rag_assets.repositories.base import Repository, asynchronous
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


class Users(Repository):
    """The users of an application. Soft-deleted users are hidden and can be restored; purged ones are gone."""

    create = asynchronous(users.create)
    get = asynchronous(users.get, "read")
    find_by_email = asynchronous(users.find_by_email, "read")
    update = asynchronous(users.update)
    soft_delete = asynchronous(users.soft_delete)
    restore = asynchronous(users.restore)
    purge = asynchronous(users.purge)


class Sessions(Repository):
    """Login sessions of users, each known by a secret token of which only the hash is stored."""

    create = asynchronous(sessions.create)
    authenticate = asynchronous(sessions.authenticate, "read")
    touch = asynchronous(sessions.touch)
    revoke = asynchronous(sessions.revoke)
    revoke_all = asynchronous(sessions.revoke_all)
    expire = asynchronous(sessions.expire)


class Conversations(Repository):
    """Conversations, their messages and their forks."""

    create = asynchronous(conversations.create)
    get = asynchronous(conversations.get, "read")
    list_by_user = asynchronous(conversations.list_by_user, "read")
    rename = asynchronous(conversations.rename)
    append = asynchronous(messages.append)
    append_many = asynchronous(messages.append_many)
    history = asynchronous(messages.history, "read")
    window = asynchronous(messages.window, "read")
    delete_message = asynchronous(messages.delete_message)
    fork = asynchronous(forks.fork)
    list_forks = asynchronous(forks.list_forks, "read")
    soft_delete = asynchronous(conversations.soft_delete)
    restore = asynchronous(conversations.restore)
    purge = asynchronous(purging.purge)


class Messages(Repository):
    append = asynchronous(messages.append)
    append_many = asynchronous(messages.append_many)
    history = asynchronous(messages.history, "read")
    window = asynchronous(messages.window, "read")
    delete = asynchronous(messages.delete_message)


class Memories(Repository):
    """What an assistant remembers of a user, recalled by relevance, importance and recency."""

    remember = asynchronous(memories.remember)
    recall = asynchronous(recall.recall)
    get = asynchronous(memories.get, "read")
    list_by_user = asynchronous(memories.list_by_user, "read")
    forget = asynchronous(memories.forget)
    expire = asynchronous(memories.expire)
    purge = asynchronous(memories.purge)


class Specializations(Repository):
    """The roles that an assistant can take: a name, a system prompt and settings."""

    create = asynchronous(specializations.create)
    get = asynchronous(specializations.get, "read")
    find_by_name = asynchronous(specializations.find_by_name, "read")
    list_all = asynchronous(specializations.list_all, "read")
    update = asynchronous(specializations.update)
    delete = asynchronous(specializations.delete)


class Adapters(Repository):
    """LoRA adapters of specializations. One adapter for each specialization and base model serves."""

    create = asynchronous(adapters.create)
    get = asynchronous(adapters.get, "read")
    list_by_specialization = asynchronous(adapters.list_by_specialization, "read")
    serving = asynchronous(adapters.serving, "read")
    update = asynchronous(adapters.update)
    promote = asynchronous(adapters.promote)
    retire = asynchronous(adapters.retire)
    delete = asynchronous(adapters.delete)


class Projects(Repository):
    """Projects: a name, the address of the documents and the settings."""

    create = asynchronous(projects.create)
    get = asynchronous(projects.get, "read")
    list_all = asynchronous(projects.list_all, "read")
    update = asynchronous(projects.update)
    counts = asynchronous(projects.counts, "read")
    delete = asynchronous(projects.delete)


class Documents(Repository):
    """The documents of projects."""

    save = asynchronous(documents.save)
    get = asynchronous(documents.get, "read")
    find_by_path = asynchronous(documents.find_by_path, "read")
    list_by_project = asynchronous(documents.list_by_project, "read")
    update = asynchronous(documents.update)
    forget = asynchronous(documents.forget)


class Bulk(Repository):
    """Inserts or upserts of many rows into one table, by COPY, in one transaction."""

    insert_rows = asynchronous(bulk.insert_rows, "once")
    upsert_rows = asynchronous(bulk.upsert_rows, "once")
