"""The searchers: two applications, one with threads and one with an event loop, that search without a pause."""

import asyncio
import gc
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rag_assets import AsyncClient, Client
from tests.benchmarks import synthetic
from tests.benchmarks.clustered import Corpus

K = 10
# Each searcher asks these in turn, each from another place on.
MODES: Mapping[str, Mapping[str, Any]] = {
    "vector": {"mode": "vector"},
    "text": {"mode": "text"},
    "hybrid": {"mode": "hybrid"},
    "filtered": {"mode": "vector", "metadata": {"tier": "1"}},
    "filtered_hybrid": {"mode": "hybrid", "metadata": {"tier": "10"}},
    "project": {"mode": "vector", "project": "bench-00003"},
    "mmr": {"mode": "hybrid", "mmr": 0.5},
    "context": {"mode": "vector", "context": 1},
    "second_page": {"mode": "hybrid", "offset": K},
    "messages": {"kinds": "messages"},
    # A text that nobody asked before: the model embeds it in the application's process.
    "new_text": {"mode": "hybrid"},
}
# Fewer than K chunks may pass the filter or have one of the words, where there are only a thousand.
MAY_FIND_FEWER = ("text", "filtered", "messages")
ANSWER = struct.Struct("<ddH")  # when it began on the monotonic clock, the seconds it took, the number of its mode
_STALL_CHECK_S = 0.02


class Asked:
    """What one application asked: answers in a file, since a list of them would grow in the memory that is measured."""

    def __init__(self, folder: Path, name: str, chunks: int) -> None:
        self.texts = Corpus(chunks, per_document=synthetic.PER_DOCUMENT).questions(synthetic.QUESTIONS).texts
        self.errors: list[str] = []
        self.error_count = 0
        self._file = (folder / f"{name}.answers").open("wb")
        self._lock = threading.Lock()
        self._name = name
        self.longest_stall_s = self.longest_collection_s = 0.0
        self._collecting_since = 0.0

    def next(self, searcher: int, number: int) -> tuple[str, str, dict[str, Any]]:
        """Mode, text and options."""
        mode = list(MODES)[(searcher + number) % len(MODES)]
        text = self.texts[(searcher * 61 + number) % len(self.texts)]
        if mode == "new_text":
            text = f"{text} {self._name} {searcher} {number}"
        return mode, text, {"k": K, **MODES[mode]}

    def note(self, mode: str, began: float, answer: Any) -> None:
        took_s = time.monotonic() - began
        with self._lock:
            self._file.write(ANSWER.pack(began, took_s, list(MODES).index(mode)))
        found = len(answer.hits)
        if found != K and mode not in MAY_FIND_FEWER:
            self.note_error(f"{mode}: {len(answer.hits)} hits")

    def note_error(self, error: str) -> None:
        self.error_count += 1
        if len(self.errors) < 20:
            self.errors.append(f"{time.monotonic():.1f} {error}"[:300])

    @contextmanager
    def watch_stalls(self) -> Iterator[None]:
        """Measure how long no thread of Python ran that should have."""
        done = threading.Event()
        gc.callbacks.append(self._on_collection)

        def watch() -> None:
            while not done.is_set():
                before = time.monotonic()
                time.sleep(_STALL_CHECK_S)
                self.longest_stall_s = max(self.longest_stall_s, time.monotonic() - before - _STALL_CHECK_S)

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            gc.callbacks.remove(self._on_collection)

    def _on_collection(self, phase: str, _: Mapping[str, int]) -> None:
        """Measure how long Python's garbage collector took: nothing else runs in the process meanwhile."""
        if phase == "start":
            self._collecting_since = time.monotonic()
        else:
            self.longest_collection_s = max(self.longest_collection_s, time.monotonic() - self._collecting_since)

    def close(self) -> dict[str, Any]:
        self._file.close()
        return {
            "errors": self.error_count,
            "messages": self.errors,
            "longest_stall_s": round(self.longest_stall_s, 3),
            "longest_collection_s": round(self.longest_collection_s, 3),
        }


def search_in_threads(folder: Path, name: str, searchers: int, chunks: int, warm: Any, stop: Any, found: Any) -> None:
    """`warm` is released by each searcher that has asked in every mode."""
    asked = Asked(folder, name, chunks)
    with Client() as client:
        client.warm_up()

        def search(searcher: int) -> None:
            number = 0
            while not stop.is_set():
                mode, text, options = asked.next(searcher, number)
                number += 1
                if number == len(MODES) + 1:
                    warm.release()
                began = time.monotonic()
                try:
                    answer = client.search(text, **options)
                except Exception as error:
                    asked.note_error(f"{mode}: {type(error).__name__}: {error}")
                else:
                    asked.note(mode, began, answer)

        threads = [threading.Thread(target=search, args=(number,)) for number in range(searchers)]
        with asked.watch_stalls():
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        pools = {role: asdict(one) for role, one in client.pool_statistics().items()}
    found.put((name, asked.close() | {"pools": pools}))


def search_in_a_loop(folder: Path, name: str, searchers: int, chunks: int, warm: Any, stop: Any, found: Any) -> None:
    asked = Asked(folder, name, chunks)

    async def search(client: AsyncClient, searcher: int) -> None:
        number = 0
        while not stop.is_set():
            mode, text, options = asked.next(searcher, number)
            number += 1
            if number == len(MODES) + 1:
                warm.release()
            began = time.monotonic()
            try:
                answer = await client.search(text, **options)
            except Exception as error:
                asked.note_error(f"{mode}: {type(error).__name__}: {error}")
            else:
                asked.note(mode, began, answer)

    async def search_all() -> dict[str, Any]:
        async with AsyncClient() as client:
            await client.warm_up()
            with asked.watch_stalls():
                await asyncio.gather(*(search(client, number) for number in range(searchers)))
            return {role: asdict(one) for role, one in client.pool_statistics().items()}

    pools = asyncio.run(search_all())
    found.put((name, asked.close() | {"pools": pools}))
