"""What an application stores and reads: a class for each table, async (`Users`) and blocking (`SyncUsers`)."""

from rag_assets.repositories.aio import (
    Adapters,
    Bulk,
    Conversations,
    Documents,
    Memories,
    Messages,
    Projects,
    Sessions,
    Specializations,
    Users,
)
from rag_assets.repositories.core.entities import Page
from rag_assets.repositories.core.purge import PurgeCounts
from rag_assets.repositories.operations.messages import NewMessage
from rag_assets.repositories.operations.recall import RecalledMemory, RecallWeights
from rag_assets.repositories.operations.sessions import NewSession
from rag_assets.repositories.sync import (
    SyncAdapters,
    SyncBulk,
    SyncConversations,
    SyncDocuments,
    SyncMemories,
    SyncMessages,
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
    "Messages",
    "NewMessage",
    "NewSession",
    "Page",
    "Projects",
    "PurgeCounts",
    "RecallWeights",
    "RecalledMemory",
    "Sessions",
    "Specializations",
    "SyncAdapters",
    "SyncBulk",
    "SyncConversations",
    "SyncDocuments",
    "SyncMemories",
    "SyncMessages",
    "SyncProjects",
    "SyncSessions",
    "SyncSpecializations",
    "SyncUsers",
    "Users",
]
