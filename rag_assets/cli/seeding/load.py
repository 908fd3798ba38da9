"""A planned set of data into the tables, through the repositories; what is there already stays as it is."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, select

from rag_assets.cli.seeding.plan import (
    PROJECT_MEMORIES,
    SIZES,
    SPECIALIZATIONS,
    PlannedSpecialization,
    PlannedTalk,
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
class Seeded:
    """How many rows were added; all are 0 where everything was there."""

    users: int = 0
    sessions: int = 0
    conversations: int = 0
    messages: int = 0
    memories: int = 0
    specializations: int = 0
    adapters: int = 0
    projects: int = 0


def seed(engine: Engine, size: Size = "small") -> Seeded:
    """Add what is missing of the set; a seed that was interrupted is completed by the next one."""
    seeding = _Seeding(engine)
    project = seeding.project()
    for specialization in SPECIALIZATIONS:
        seeding.specialization(specialization)
    seeding.memories(PROJECT_MEMORIES, project_id=project)
    for done, user in enumerate(planned_users(size), start=1):
        seeding.user(user, project)
        report_progress("seed", done, SIZES[size][0], "users")
    return seeding.added


class _Seeding:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.added = Seeded()

    def project(self) -> UUID:
        with self._engine.connect() as connection:
            known = find_project(connection, TOPICS_NAME)
        if known is not None:
            return known.id
        self.added.projects += 1
        return SyncProjects(self._engine).create(TOPICS_NAME, TOPICS_URI, description="Python's own topics").id

    def specialization(self, planned: PlannedSpecialization) -> None:
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
        self.memories(planned.memories, specialization_id=found.id)

    def user(self, planned: PlannedUser, project: UUID) -> None:
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
        self.memories(planned.memories, user_id=user.id)
        known = self._conversations(user.id)
        for talk in planned.talks:
            self._talk(talk, known, user.id, project)

    def memories(self, planned: Iterable[tuple[str, float]], **owner: Any) -> None:
        for content, importance in planned:
            same = select(Memory.id).filter_by(content_hash=content_hash(content), **owner)
            with self._engine.connect() as connection:
                known = connection.scalar(same.limit(1))
            # Remembered once more it would be reinforced, and not the same data any more.
            if known is None:
                SyncMemories(self._engine).remember(content, importance=importance, **owner)
                self.added.memories += 1

    def _conversations(self, user_id: UUID) -> dict[str, tuple[UUID, int]]:
        """By name: the id, and how far it goes."""
        conversations = SyncConversations(self._engine)
        found: dict[str, tuple[UUID, int]] = {}
        after = None
        while True:
            page = conversations.list_by_user(user_id, limit=1000, after=after)
            found |= {item.name: (item.id, item.latest_version) for item in page.items}
            after = page.next
            if after is None:
                return found

    def _talk(self, planned: PlannedTalk, known: dict[str, tuple[UUID, int]], user_id: UUID, project: UUID) -> None:
        conversations = SyncConversations(self._engine)
        if planned.name not in known:
            made = conversations.create(planned.name, user_id=user_id, project_id=project)
            known[planned.name] = (made.id, 0)
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
