"""The writers: an application that stores messages, projects that are ingested, and what a night brings."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from rag_assets import Client
from rag_assets.db.database import dispose_engines, new_engine, shared_engine
from rag_assets.db.index.build import rebuild_index
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.repositories import NewMessage
from rag_assets.settings.settings import load_settings
from tests.benchmarks.load.installation import Folder, conversation_ids, failure, run_command

MESSAGE_PAUSE_S = 0.05
INGEST_PAUSE_S = 2.0
CHANGED_FILES = 6


def write_messages(folder: Path, name: str, writers: int, stop: Any, found: Any) -> None:
    """Append to conversations; what was acknowledged goes into a file."""
    errors: list[str] = []
    longest = [0.0] * writers
    with Client() as client, (folder / f"{name}.messages").open("w") as file:
        conversations = conversation_ids(shared_engine(load_settings()))
        dispose_engines()

        def write(writer: int) -> None:
            number = 0
            while not stop.is_set():
                conversation = conversations[(writer + number) % len(conversations)]
                content = f"writer {writer} wrote message {number}"
                number += 1
                began = time.monotonic()
                try:
                    message = client.conversations.append(conversation, NewMessage("user", content))
                except Exception as error:
                    errors.append(f"{type(error).__name__}: {error}"[:300])
                else:
                    longest[writer] = max(longest[writer], time.monotonic() - began)
                    file.write(f"{conversation}\t{message.version}\t{content}\n")
                stop.wait(MESSAGE_PAUSE_S)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pools = {role: asdict(one) for role, one in client.pool_statistics().items()}
    found.put(
        (name, {"errors": len(errors), "messages": errors[:20], "pools": pools, "longest_s": round(max(longest), 3)})
    )


def compare_messages(engine: Engine, path: Path) -> dict[str, int]:
    """Compare the stored messages with the acknowledged ones."""
    acknowledged = [tuple(line.split("\t")) for line in path.read_text().splitlines()]
    query = text(
        "SELECT conversation_id::text, version::text, content FROM rag.conversation_messages "
        "WHERE content LIKE 'writer % wrote message %'"
    )
    with engine.connect() as connection:
        stored = Counter(tuple(row) for row in connection.execute(query))
    contents = Counter((row[0], row[2]) for row in stored.elements())
    return {
        "acknowledged": len(acknowledged),
        "lost": sum(one not in stored for one in acknowledged),
        "duplicates": sum(count - 1 for count in contents.values()),
    }


class DocumentWriter:
    """Changes files of a folder and ingests it, again and again."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.ingests: list[float] = []
        self.errors: list[str] = []
        self.lost = 0

    def run(self, stop: Any) -> None:
        while not stop.is_set():
            self.ingest(CHANGED_FILES)
            stop.wait(INGEST_PAUSE_S)

    def ingest(self, changed: int) -> None:
        self.folder.change(changed)
        began = time.monotonic()
        done = self.folder.ingest()
        if done.returncode:
            self.errors.append(failure(done))
            return
        self.ingests.append(round(time.monotonic() - began, 1))
        engine = new_engine(load_settings(), "read")
        missing = self.folder.missing(engine)
        engine.dispose()
        self.lost += len(missing)
        self.errors += [f"{self.folder.project}: {name} is not served as it is" for name in missing[:3]]


class Night:
    """What a night brings, all at once: a refresh, new vectors of messages, maintenance, and a new index."""

    def __init__(self, refresh: DocumentWriter) -> None:
        self.refresh = refresh
        self.errors: list[str] = []
        self.seconds: list[dict[str, float]] = []

    def run(self) -> None:
        took: dict[str, float] = {}
        parts: dict[str, Callable[[], None]] = {
            "refresh": lambda: self.refresh.ingest(self.refresh.folder.files // 10),
            "messages": lambda: self._command("embed", "messages", "--json"),
            "maintain": lambda: self._command("maintain", "--json"),
            "rebuild": self._rebuild,
        }

        def measure(name: str, work: Callable[[], None]) -> None:
            began = time.monotonic()
            try:
                work()
            except Exception as error:
                self.errors.append(f"{name}: {type(error).__name__}: {error}"[:300])
            took[name] = round(time.monotonic() - began, 1)

        threads = [threading.Thread(target=measure, args=part) for part in parts.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.seconds.append(took)

    def _command(self, *arguments: str) -> None:
        done = run_command(*arguments)
        if done.returncode:
            self.errors.append(failure(done))

    def _rebuild(self) -> None:
        # The server builds the index; a process of its own would only wait for it.
        engine = new_engine(load_settings())
        with engine.connect() as connection:
            space = get_live_space(connection)
        assert space is not None
        rebuild_index(engine, space)
        engine.dispose()


def all_errors(writers: "list[DocumentWriter]", night: Night) -> Iterator[str]:
    for writer in writers:
        yield from writer.errors
    yield from night.errors
