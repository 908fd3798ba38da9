"""The example data as plain values, the same every time for the same size."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Literal

from rag_assets.documents.sources.globs import Selection
from rag_assets.documents.sources.python_topics import TopicsSource
from rag_assets.repositories import NewMessage

Size = Literal["small", "large"]
# Users, and conversations of each user.
SIZES: dict[Size, tuple[int, int]] = {"small": (6, 4), "large": (60, 16)}

_FIRST_DAY = datetime(2026, 1, 5, 8, tzinfo=UTC)
_FIRST_NAMES = ("Ada", "Barbara", "Chen", "Dorothy", "Edsger", "Frances", "Grace", "Hedy", "Ines", "John")
_LAST_NAMES = ("Abara", "Berg", "Costa", "Dubois", "Endo", "Fischer")
_MODEL = "assistant-8b"
_QUESTIONS = (
    "How does {topic} work in Python?",
    "Can you explain {topic} with an example?",
    "What should I know about {topic} before I use it?",
    "I keep getting {topic} wrong. What is the rule?",
)
_FOLLOW_UPS = (
    "And what is different in older versions?",
    "Is there a shorter way to write that?",
    "Where does the reference say so?",
    "Thanks. Which mistakes are common there?",
)
_FACTS = (
    ("works on a data pipeline written in Python", 0.8),
    ("prefers short answers with one example", 0.9),
    ("asked about {topic} more than once", 0.4),
    ("is learning the language after years of Java", 0.6),
)


@dataclass(frozen=True, slots=True)
class PlannedConversation:
    """A conversation, and the messages of its fork if it has one."""

    name: str
    messages: list[NewMessage]
    fork_version: int | None
    fork_messages: list[NewMessage]


@dataclass(frozen=True, slots=True)
class PlannedUser:
    email: str
    display_name: str
    conversations: list[PlannedConversation]
    memories: list[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class PlannedAdapter:
    name: str
    rank: int
    sha256: str | None
    promoted: bool
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class PlannedSpecialization:
    name: str
    description: str
    system_prompt: str
    adapters: list[PlannedAdapter]
    memories: list[tuple[str, float]]


SPECIALIZATIONS = [
    PlannedSpecialization(
        "python-tutor",
        "Explains the language to people who learn it.",
        "You teach Python. Answer from the documentation, with one short example.",
        [
            PlannedAdapter("tutor-v1", 8, "1a" * 32, True, {"eval_loss": 1.31}),
            PlannedAdapter("tutor-v2", 16, "2b" * 32, True, {"eval_loss": 1.17}),
            PlannedAdapter("tutor-v3", 32, None, False, {}),
        ],
        [("beginners understand an example before they understand a rule", 0.7)],
    ),
    PlannedSpecialization(
        "code-reviewer",
        "Reads changes and says what is wrong with them.",
        "You review code. Name the line, the problem and the smallest change that mends it.",
        [PlannedAdapter("reviewer-v1", 16, "3c" * 32, True, {"eval_loss": 0.98})],
        [("style is for the linter; a review is for what a linter cannot see", 0.8)],
    ),
]
PROJECT_MEMORIES = [("the topics are those of the Python that runs, and change with it", 0.5)]


def planned_users(size: Size) -> Iterator[PlannedUser]:
    """The users with their conversations and memories. The first users of `large` only share the names of `small`."""
    users, conversations = SIZES[size]
    chance = random.Random(f"rag_assets {size}")  # noqa: S311 - the data must be the same every time
    texts = _topics()
    for last_name, first_name in list(product(_LAST_NAMES, _FIRST_NAMES))[:users]:
        topics = chance.sample(sorted(texts), conversations)
        facts = chance.sample(_FACTS, 2)
        yield PlannedUser(
            f"{first_name}.{last_name}@example.org".lower(),
            f"{first_name} {last_name}",
            [_plan_conversation(chance, topic, texts[topic]) for topic in topics],
            [(f"{first_name} {fact.format(topic=topics[0])}", importance) for fact, importance in facts],
        )


def _plan_conversation(chance: random.Random, topic: str, text: str) -> PlannedConversation:
    at = _FIRST_DAY + timedelta(minutes=chance.randrange(60 * 24 * 60))
    question = chance.choice(_QUESTIONS).format(topic=topic)
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n") if len(part) > 80] or [text]
    messages = [
        NewMessage("system", "You answer questions about Python from its documentation.", created_at=at),
        NewMessage("user", question, created_at=at),
        *_plan_answer(at, f"call_{chance.getrandbits(32):08x}", question, topic, paragraphs[0]),
    ]
    for turn in range(1, chance.randint(1, 4)):
        later = at + timedelta(minutes=2 * turn)
        messages.append(NewMessage("user", chance.choice(_FOLLOW_UPS), created_at=later))
        answer = paragraphs[turn % len(paragraphs)]
        messages.append(NewMessage("assistant", answer, model=_MODEL, created_at=later))
    fork_messages = [
        NewMessage("user", f"Let us try again: {chance.choice(_FOLLOW_UPS)}", created_at=at + timedelta(hours=1)),
        NewMessage("assistant", paragraphs[-1], model=_MODEL, created_at=at + timedelta(hours=1)),
    ]
    fork_version = chance.randint(2, len(messages)) if chance.random() < 0.3 else None
    return PlannedConversation(question, messages, fork_version, fork_messages if fork_version else [])


def _plan_answer(at: datetime, call: str, question: str, topic: str, found: str) -> list[NewMessage]:
    """A call of the search tool, its result, and the answer."""
    called = {"tool_calls": [{"id": call, "name": "search", "arguments": {"query": question}}]}
    return [
        NewMessage("assistant", "", model=_MODEL, metadata=called, created_at=at),
        NewMessage("tool", f"{topic}.rst: {found}", tool_call_id=call, tool_name="search", created_at=at),
        NewMessage("assistant", found, model=_MODEL, metadata={"cites": [f"{topic}.rst"]}, created_at=at),
    ]


def _topics() -> dict[str, str]:
    source = TopicsSource(Selection())
    return {file.path.removesuffix(".rst"): source.read(file.path).decode() for file in source.list()}
