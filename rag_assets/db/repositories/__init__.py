"""What an application stores and reads, one class a noun: `Users` for an event loop, `SyncUsers` without."""

from rag_assets.db.repositories.aio import (
    Adapters,
    Bulk,
    Conversations,
    Documents,
    Memories,
    Projects,
    Sessions,
    Specializations,
    Users,
)
from rag_assets.db.repositories.entities import Page
from rag_assets.db.repositories.messages import NewMessage
from rag_assets.db.repositories.purging import Purged
from rag_assets.db.repositories.recall import Recalled, RecallWeights
from rag_assets.db.repositories.sessions import NewSession
from rag_assets.db.repositories.sync import (
    SyncAdapters,
    SyncBulk,
    SyncConversations,
    SyncDocuments,
    SyncMemories,
    SyncProjects,
    SyncSessions,
    SyncSpecializations,
    SyncUsers,
)

__all__ = [
    "Adapters",
    "Bulk",
    "Conversations",
    "Documents",
    "Memories",
    "NewMessage",
    "NewSession",
    "Page",
    "Projects",
    "Purged",
    "RecallWeights",
    "Recalled",
    "Sessions",
    "Specializations",
    "SyncAdapters",
    "SyncBulk",
    "SyncConversations",
    "SyncDocuments",
    "SyncMemories",
    "SyncProjects",
    "SyncSessions",
    "SyncSpecializations",
    "SyncUsers",
    "Users",
]
