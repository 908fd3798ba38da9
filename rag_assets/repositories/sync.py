"""The same repositories for code that waits; what each method does stands with the function of its name."""

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
    create = synchronous(users.create)
    get = synchronous(users.get, "read")
    find_by_email = synchronous(users.find_by_email, "read")
    update = synchronous(users.update)
    soft_delete = synchronous(users.soft_delete)
    restore = synchronous(users.restore)
    purge = synchronous(users.purge)


class SyncSessions(SyncRepository):
    create = synchronous(sessions.create)
    authenticate = synchronous(sessions.authenticate, "read")
    touch = synchronous(sessions.touch)
    revoke = synchronous(sessions.revoke)
    revoke_all = synchronous(sessions.revoke_all)
    expire = synchronous(sessions.expire)


class SyncConversations(SyncRepository):
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


class SyncMemories(SyncRepository):
    remember = synchronous(memories.remember)
    recall = synchronous(recall.recall)
    get = synchronous(memories.get, "read")
    list_by_user = synchronous(memories.list_by_user, "read")
    forget = synchronous(memories.forget)
    expire = synchronous(memories.expire)
    purge = synchronous(memories.purge)


class SyncSpecializations(SyncRepository):
    create = synchronous(specializations.create)
    get = synchronous(specializations.get, "read")
    find_by_name = synchronous(specializations.find_by_name, "read")
    list_all = synchronous(specializations.list_all, "read")
    update = synchronous(specializations.update)
    delete = synchronous(specializations.delete)


class SyncAdapters(SyncRepository):
    create = synchronous(adapters.create)
    get = synchronous(adapters.get, "read")
    list_by_specialization = synchronous(adapters.list_by_specialization, "read")
    serving = synchronous(adapters.serving, "read")
    update = synchronous(adapters.update)
    promote = synchronous(adapters.promote)
    retire = synchronous(adapters.retire)
    delete = synchronous(adapters.delete)


class SyncProjects(SyncRepository):
    create = synchronous(projects.create)
    get = synchronous(projects.get, "read")
    list_all = synchronous(projects.list_all, "read")
    update = synchronous(projects.update)
    counts = synchronous(projects.counts, "read")
    delete = synchronous(projects.delete)


class SyncDocuments(SyncRepository):
    save = synchronous(documents.save)
    get = synchronous(documents.get, "read")
    find_by_path = synchronous(documents.find_by_path, "read")
    list_by_project = synchronous(documents.list_by_project, "read")
    update = synchronous(documents.update)
    forget = synchronous(documents.forget)


class SyncBulk(SyncRepository):
    insert_rows = synchronous(bulk.insert_rows, "once")
    upsert_rows = synchronous(bulk.upsert_rows, "once")
