"""Run single stages without Dagster: real folders, database, tokenizer and writers; the model is a HashEncoder."""

import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from rag_assets.db.models import EmbeddingSpace
from rag_assets.pipeline import refresh
from rag_assets.pipeline.stages.batches import Batch
from rag_assets.pipeline.stages.index import refresh_indexes
from rag_assets.pipeline.stages.live_space import promote_wanted_space
from rag_assets.pipeline.stages.prefetch import prefetch
from rag_assets.pipeline.stages.write_batch import write_batch
from rag_assets.pipeline.target.wanted_space import Target, target_space
from rag_assets.projects.store import save_project
from rag_assets.settings.settings import Settings, load_settings
from tests.support.fakes import HashEncoder


@dataclass
class Steps:
    """Each method runs one stage for the named projects and returns its figures, including written rows."""

    engine: Engine
    settings: Settings
    encoders: dict[int, HashEncoder] = field(default_factory=dict)
    write_s: float = 0.0

    @property
    def target(self) -> Target:
        return target_space(load_settings())

    def project(self, name: str, source: Path | str, **settings: Any) -> str:
        with self.engine.begin() as connection:
            save_project(connection, name, str(source), settings)
        return name

    def documents(self, *projects: str, **config: Any) -> Counter[str]:
        return write_batches(self.engine, refresh.refresh_documents(self.engine, self.settings, projects, **config))

    def chunks(self, *projects: str) -> Counter[str]:
        return write_batches(self.engine, refresh.refresh_chunks(self.engine, self.settings, projects, self.target))

    def embeddings(self, *projects: str) -> Counter[str]:
        return write_batches(
            self.engine, refresh.refresh_embeddings(self.engine, self.settings, projects, self.target, self.encoder)
        )

    def index(self) -> dict[str, Any]:
        return refresh_indexes(self.engine, self.settings, self.target)

    def live(self) -> dict[str, Any]:
        return promote_wanted_space(self.engine, self.settings, self.target, self.encoder)

    def all(self, *projects: str) -> Counter[str]:
        """Run the stages from documents to index; return the figures of the embeddings."""
        self.documents(*projects)
        self.chunks(*projects)
        figures = self.embeddings(*projects)
        self.index()
        return figures

    def encoder(self, space: EmbeddingSpace) -> HashEncoder:
        return self.encoders.setdefault(space.id, HashEncoder(space.dimensions))

    @property
    def embedded(self) -> list[str]:
        """The texts that any encoder has embedded so far."""
        return [text for encoder in self.encoders.values() for text in encoder.embedded]


def write_batches(engine: Engine, batches: Iterable[Batch], *, write_s: float = 0.0) -> Counter[str]:
    """Write like the IO manager: one transaction per batch, while the next batch is prepared.

    `write_s` delays each write.
    """
    figures: Counter[str] = Counter()
    for batch in prefetch(iter(batches)):
        time.sleep(write_s)
        with engine.begin() as connection:
            written = write_batch(connection, batch)
        for name in written.__slots__:
            figures[name] += getattr(written, name)
        for name, value in batch.figures.items():
            figures[name] += value  # type: ignore[assignment] # Figures include seconds.
    return figures


def write(path: Path, content: str | bytes, *, age_s: float = 60) -> Path:
    """Write a file with a modification time in the past: files that changed just now are always read again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    changed = time.time() - age_s
    os.utime(path, (changed, changed))
    return path
