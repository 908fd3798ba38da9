"""Writes the planned example data through the repositories. Rows that exist are not changed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, select

from rag_assets.cli.seeding.plan import (
    PROJECT_MEMORIES,
    SIZES,
    SPECIALIZATIONS,
    PlannedConversation,
    PlannedSpecialization,
    PlannedUser,
    Size,
    planned_users,
)
from rag_assets.db.models import Memory, UserSession
from rag_assets.documents.sources.python_topics import TOPICS_NAME, TOPICS_URI
from rag_assets.documents.text import content_hash
from rag_assets.pipeline.progress import report_progress
from rag_assets.projects.store import find_project
from rag_assets.repositories import (
    NewMessage,
    SyncAdapters,
    SyncConversations,
    SyncMemories,
    SyncProjects,
    SyncSessions,
    SyncSpecializations,
    SyncUsers,
)


@dataclass(slots=True)
class AddedRows:
    """How many rows of each kind were added."""

    users: int = 0
    sessions: int = 0
    conversations: int = 0
    messages: int = 0
    memories: int = 0
    specializations: int = 0
    adapters: int = 0
    projects: int = 0


def add_example_data(engine: Engine, size: Size = "small") -> AddedRows:
    """Add the rows of the plan that are missing, also after an interrupted call."""
    seeder = _Seeder(engine)
    project = seeder.add_project()
    for specialization in SPECIALIZATIONS:
        seeder.add_specialization(specialization)
    seeder.add_memories(PROJECT_MEMORIES, project_id=project)
    for done, user in enumerate(planned_users(size), start=1):
        seeder.add_user(user, project)
        report_progress("seed", done, SIZES[size][0], "users")
    return seeder.added


class _Seeder:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.added = AddedRows()

    def add_project(self) -> UUID:
        with self._engine.connect() as connection:
            known = find_project(connection, TOPICS_NAME)
        if known is not None:
            return known.id
        self.added.projects += 1
        return SyncProjects(self._engine).create(TOPICS_NAME, TOPICS_URI, description="Python's own topics").id

    def add_specialization(self, planned: PlannedSpecialization) -> None:
        specializations, adapters = SyncSpecializations(self._engine), SyncAdapters(self._engine)
        found = specializations.find_by_name(planned.name)
        if found is None:
            found = specializations.create(
                planned.name, description=planned.description, system_prompt=planned.system_prompt
            )
            self.added.specializations += 1
        known = {adapter.name: adapter for adapter in adapters.list_by_specialization(found.id)}
        for plan in planned.adapters:
            adapter = known.get(plan.name)
            if adapter is None:
                uri = f"s3://adapters/{planned.name}/{plan.name}.safetensors"
                adapter = adapters.create(
                    found.id,
                    plan.name,
                    base_model="assistant-8b",
                    uri=uri,
                    rank=plan.rank,
                    alpha=2 * plan.rank,
                    sha256=plan.sha256,
                    metrics=plan.metrics,
                )
                self.added.adapters += 1
            if plan.promoted and adapter.status == "draft":
                adapters.promote(adapter.id)
        self.add_memories(planned.memories, specialization_id=found.id)

    def add_user(self, planned: PlannedUser, project: UUID) -> None:
        users = SyncUsers(self._engine)
        user = users.find_by_email(planned.email)
        if user is None:
            user = users.create(planned.email, display_name=planned.display_name)
            self.added.users += 1
        with self._engine.connect() as connection:
            signed_in = connection.scalar(select(UserSession.id).where(UserSession.user_id == user.id).limit(1))
        if signed_in is None:
            SyncSessions(self._engine).create(user.id, user_agent="rag-assets seed")
            self.added.sessions += 1
        self.add_memories(planned.memories, user_id=user.id)
        known = self._conversations(user.id)
        for conversation in planned.conversations:
            self._add_conversation(conversation, known, user.id, project)

    def add_memories(self, planned: Iterable[tuple[str, float]], **owner: Any) -> None:
        for content, importance in planned:
            same = select(Memory.id).filter_by(content_hash=content_hash(content), **owner)
            with self._engine.connect() as connection:
                known = connection.scalar(same.limit(1))
            # Remembering it again would reinforce it and change the data.
            if known is None:
                SyncMemories(self._engine).remember(content, importance=importance, **owner)
                self.added.memories += 1

    def _conversations(self, user_id: UUID) -> dict[str, tuple[UUID, int]]:
        """The id and latest version of each conversation, by name."""
        conversations = SyncConversations(self._engine)
        found: dict[str, tuple[UUID, int]] = {}
        after = None
        while True:
            page = conversations.list_by_user(user_id, limit=1000, after=after)
            found |= {item.name: (item.id, item.latest_version) for item in page.items}
            after = page.next
            if after is None:
                return found

    def _add_conversation(
        self, planned: PlannedConversation, known: dict[str, tuple[UUID, int]], user_id: UUID, project: UUID
    ) -> None:
        conversations = SyncConversations(self._engine)
        if planned.name not in known:
            created = conversations.create(planned.name, user_id=user_id, project_id=project)
            known[planned.name] = (created.id, 0)
            self.added.conversations += 1
        id_, version = known[planned.name]
        self._append(id_, planned.messages[version:])
        if planned.fork_version is None:
            return
        name = f"{planned.name} (again)"
        if name not in known:
            fork = conversations.fork(id_, version=planned.fork_version, name=name)
            known[name] = (fork.id, fork.latest_version)
            self.added.conversations += 1
        id_, version = known[name]
        self._append(id_, planned.fork_messages[version - planned.fork_version :])

    def _append(self, conversation_id: UUID, messages: list[NewMessage]) -> None:
        self.added.messages += len(SyncConversations(self._engine).append_many(conversation_id, messages))
