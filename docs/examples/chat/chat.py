"""A chat over the handbook: `python chat.py QUESTION ...` answers the questions of one conversation, with sources."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from rag_assets import AsyncClient, Hit


def answer(history: Sequence[Any], passages: Sequence[Hit]) -> str:
    """Ask your language model here; this one quotes the best passage."""
    return passages[0].text if passages else f"The handbook says nothing about {history[-1].content!r}."


async def chat(questions: Sequence[str]) -> None:
    async with AsyncClient() as client:
        talk = await client.conversations.create("Questions about the harbour")
        for question in questions:
            await client.messages.append(talk.id, {"role": "user", "content": question})
            found = await client.search(question, project="handbook", k=3)
            history = await client.messages.window(talk.id, budget_tokens=2_000)
            text = answer(history, found.hits)
            sources = [hit.file_path for hit in found.hits]
            await client.messages.append(
                talk.id, {"role": "assistant", "content": text, "metadata": {"sources": sources}}
            )
            sys.stdout.write(f"> {question}\n{text}\n[{', '.join(dict.fromkeys(sources))}]\n\n")


if __name__ == "__main__":
    asyncio.run(chat(sys.argv[1:]))
