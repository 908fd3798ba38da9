"""A reader that looks at each document in every way that there is, and says what no reader may ever see."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from rag_assets import Client
from rag_assets.search.results import Mode
from rag_assets.testing import HashEncoder
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import write

# One statement, so one snapshot: what a client of the view reads, with the text that the offsets point into.
VIEW = """
SELECT v.source, v.content, v.embedding::text, v.header, v.page, v.metadata->>'title', v.metadata->>'chunk_index',
    substring(d.content FROM (v.metadata->>'char_start')::int + 1
        FOR (v.metadata->>'char_end')::int - (v.metadata->>'char_start')::int),
    d.content, d.metadata->>'version'
FROM rag.live_chunks v JOIN rag.documents d ON d.id = v.document_id WHERE v.project = :project
"""
PARTS = 3
MODES: tuple[Mode, ...] = ("text", "vector", "hybrid")


def text_of(name: str, version: int, parts: int = PARTS) -> str:
    """A document whose every sentence says what it is of; parts are long enough for a chunk of their own."""
    body = "\n\n".join(
        f"## Of {part}\n\n" + " ".join(f"{name} version{version} part{part} number{n}." for n in range(24))
        for part in range(parts)
    )
    return f"---\nversion: v{version}\n---\n# {name} {version}\n\n{body}\n"


def write_version(folder: Path, name: str, version: int, *, age_s: float = 60) -> None:
    write(folder / f"{name}.md", text_of(name, version), age_s=age_s - version)


@dataclass
class ServedVersions:
    """What searches show of the documents of a project. `seen` has the versions of each, in order."""

    engine: Engine
    client: Client
    project: str = "zoo"
    encoder: HashEncoder = field(default_factory=HashEncoder)
    seen: dict[str, list[int]] = field(default_factory=dict)
    samples: int = 0

    def look(self, wanted: Mapping[str, Sequence[int]]) -> list[str]:
        """What is wrong with what is shown now; each document is in one of the `wanted` versions (0: not there)."""
        self.samples += 1
        found = [*self._look_at_view(wanted)]
        for name in wanted:
            for mode in MODES:
                found += self._search(name, mode, wanted[name])
        return found

    def _look_at_view(self, wanted: Mapping[str, Sequence[int]]) -> list[str]:
        wrong = []
        by_name: dict[str, list[tuple[str, ...]]] = {}
        for source, *row in rows(self.engine, VIEW, project=self.project):
            by_name.setdefault(source.removesuffix(".md"), []).append(tuple(row))
        for name, versions in wanted.items():
            shown = by_name.get(name, [])
            found = {version_in(text) for text, *_ in shown}
            if not shown and 0 in versions:
                continue
            if len(found) != 1 or not found <= set(versions):
                wrong.append(f"view: {name} is shown in versions {sorted(found)}, not in one of {list(versions)}")
                continue
            [version] = found
            if self.seen.setdefault(name, [version])[-1] != version:
                self.seen[name].append(version)
            content = text_of(name, version).split("---\n")[-1]
            for text, vector, _, _, title, _, at_offsets, whole, of_metadata in shown:
                if at_offsets != text:
                    wrong.append(f"view: {name} {version} has {at_offsets[:40]!r} at the offsets of {text[:40]!r}")
                if title != f"{name} {version}" or of_metadata != f"v{version}" or content.strip() != whole.strip():
                    wrong.append(f"view: {name} {version} has title {title}, metadata {of_metadata}, {whole[:40]!r}")
                if not np.allclose(json.loads(vector), self.encoder.encode([text])[0], atol=1e-3):
                    wrong.append(f"view: {name} {version} has the vector of another text than {text[:40]!r}")
            parts = {word for text, *_ in shown for word in text.split() if word.startswith("part")}
            if len(parts) != PARTS:
                wrong.append(f"view: {name} {version} is shown in part: {sorted(parts)}")
        return wrong

    def _search(self, name: str, mode: Mode, versions: Sequence[int]) -> list[str]:
        answer = self.client.search(f"{name} part0 part1 part2", mode=mode, k=50, project=self.project, context=1)
        hits = [hit for hit in answer.hits if hit.file_path == f"{name}.md"]
        if not hits and 0 in versions:
            return []
        found = {version_in(hit.text) for hit in hits}
        parts = {word for hit in hits for word in hit.text.split() if word.startswith("part")}
        wrong = []
        if len(found) != 1 or not found <= set(versions):
            wrong.append(f"{mode}: {name} is found in versions {sorted(found)}, not in one of {list(versions)}")
        if len(parts) != PARTS:
            wrong.append(f"{mode}: {name} is found in part: {sorted(parts)}")
        return wrong + [
            f"{mode}: {name} has a context of another version: {hit.context!r:.60}"
            for hit in hits
            if hit.context is None or version_in(hit.context) != version_in(hit.text)
        ]


def version_in(text: str) -> int:
    """The version that a chunk says it is of; -1 where it says none or several."""
    found = {word for word in text.split() if word.startswith("version")}
    return int(found.pop().removeprefix("version")) if len(found) == 1 else -1
