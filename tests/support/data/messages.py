"""Conversations of two users with vectors in a live space, and the expected ranking of their messages."""

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from uuid import UUID

import numpy as np
from sqlalchemy import Engine

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.spaces import ensure_space, set_live_space
from rag_assets.pipeline import refresh
from rag_assets.pipeline.stages.index import refresh_indexes
from rag_assets.pipeline.target.wanted_space import target_space
from rag_assets.repositories import NewMessage, SyncConversations, SyncProjects, SyncUsers
from rag_assets.settings.settings import Settings
from tests.support.data.corpus import WORDS
from tests.support.fakes import HashEncoder
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import write_batches

DAYS = [date(2026, 3, day) for day in (2, 3, 4)]
ROLES: tuple[Literal["user"], Literal["assistant"]] = ("user", "assistant")


@dataclass(frozen=True)
class StoredMessage:
    id: UUID
    conversation: UUID
    role: str
    text: str
    at: datetime


@dataclass(frozen=True)
class MessageCorpus:
    engine: Engine
    settings: Settings
    encoder: HashEncoder
    users: dict[str, UUID]
    talks: dict[str, list[UUID]]

    def messages(self, where: str = "true") -> list[StoredMessage]:
        statement = (
            "SELECT m.id, m.conversation_id, m.role, m.content, m.created_at FROM rag.conversation_messages m "
            f"JOIN rag.conversations c ON c.id = m.conversation_id WHERE {where}"
        )
        return [StoredMessage(*row) for row in rows(self.engine, statement)]

    def nearest(self, query: str, messages: list[StoredMessage]) -> list[tuple[float, str]]:
        """(score, text) of each message, best first, computed with numpy."""
        vector = self.encoder.encode_query(query)
        scored = [(float(np.dot(vector, self.encoder.encode_query(one.text))), one.text) for one in messages]
        return sorted(scored, key=lambda one: (-round(one[0], 5), one[1]))

    def refresh(self, *, build: bool = False) -> EmbeddingSpace:
        """Run the stages and promote the space without its checks."""
        target = target_space(self.settings, "messages")
        write_batches(
            self.engine,
            refresh.refresh_message_embeddings(self.engine, self.settings, DAYS, target, lambda _: self.encoder),
        )
        if build:
            refresh_indexes(self.engine, self.settings, target)
        with self.engine.begin() as connection:
            space = ensure_space(connection, target.definition)
            set_live_space(connection, space)
        return space


def create_message_corpus(engine: Engine, settings: Settings, *, talks: int = 6, turns: int = 8) -> MessageCorpus:
    """Create two users with conversations in a project and outside one; each begins with the same greeting."""
    chance = random.Random(5)
    conversations = SyncConversations(engine)
    project = SyncProjects(engine).create("zoo", "/zoo").id
    users = {name: SyncUsers(engine).create(f"{name}@example.org").id for name in ("ada", "ben")}
    made: dict[str, list[UUID]] = {name: [] for name in users}
    for number in range(talks):
        name = ("ada", "ben")[number % 2]
        talk = conversations.create(
            f"talk {number}", user_id=users[name], project_id=project if number % 3 == 0 else None
        )
        made[name].append(talk.id)
        begins = datetime.combine(DAYS[number % len(DAYS)], datetime.min.time(), UTC) + timedelta(hours=8)
        texts = ["hello whale keeper", *(" ".join(chance.choices(WORDS, k=7)) for _ in range(turns - 1))]
        conversations.append_many(
            talk.id,
            [
                NewMessage(ROLES[turn % 2], text, created_at=begins + timedelta(minutes=turn))
                for turn, text in enumerate(texts)
            ],
        )
    return MessageCorpus(engine, settings, HashEncoder(), users, made)
