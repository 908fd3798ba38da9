"""Several processes embed one project: each text once, and those of a dead process by another one."""

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rag_assets.db.database import new_engine
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.writes.claims import claims_of
from rag_assets.errors import BusyError
from rag_assets.pipeline.target.wanted_space import current_space
from tests.support.fakes import HashEncoder
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import Steps, write

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TEXTS = 24


@pytest.fixture
def pending(steps: Steps, folder: Path) -> Steps:
    """A project whose texts have no vectors yet; a batch has about two texts."""
    for number in range(TEXTS):
        write(folder / f"d{number}.md", f"# Page {number}\n\nThe animal {number} eats grass.\n")
    steps.project("zoo", folder, shards=2)
    steps.settings = steps.settings.model_copy(update={"batch_tokens": 40, "lock_wait_s": 0.5})
    for stage in (steps.documents, steps.chunks):
        stage("zoo", "zoo:02of02")
    return steps


class SlowEncoder(HashEncoder):
    """A model that takes its time for each batch."""

    def encode(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        time.sleep(0.02)
        return super().encode(texts)


class OtherProcess(Steps):
    """The stages of another process, on connections of its own."""

    def encoder(self, space: EmbeddingSpace) -> HashEncoder:
        return self.encoders.setdefault(space.id, SlowEncoder(space.dimensions))


def test_two_processes_share_the_texts_of_a_project(pending: Steps) -> None:
    workers = [OtherProcess(new_engine(pending.settings), pending.settings) for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        for run in [pool.submit(worker.embeddings, "zoo", "zoo:02of02") for worker in workers]:
            run.result()
    embedded = Counter(text for worker in workers for text in worker.embedded)
    assert len(embedded) == TEXTS
    assert set(embedded.values()) == {1}, "no text is embedded twice"
    assert all(worker.embedded for worker in workers), "both took part"
    assert rows(pending.engine, "SELECT count(*) FROM rag.embeddings") == [(TEXTS,)]
    assert rows(pending.engine, "SELECT count(*) FROM rag.embedding_claims") == [(0,)]
    for worker in workers:
        worker.engine.dispose()


def test_a_dead_process_holds_no_text_and_a_living_one_is_waited_for(pending: Steps) -> None:
    engine = pending.engine
    hashes = [row[0] for row in rows(engine, "SELECT content_hash FROM rag.document_chunks ORDER BY 1 LIMIT 3")]
    space = current_space(engine, pending.target.definition)
    assert space is not None
    dead, other = (claims_of(engine, space, token) for token in ("dead", "other"))
    with hold_lock(engine, "x", wait_s=0, shared=True, token="dead"):
        assert dead.take(hashes) == set(hashes)
        with hold_lock(engine, "x", wait_s=0, shared=True, token="other"):
            assert other.take(hashes) == set()
        with pytest.raises(BusyError, match="another run has been embedding"):
            pending.embeddings("zoo", "zoo:02of02")
    assert rows(engine, "SELECT count(*) FROM rag.embedding_claims WHERE owner = :o", o=dead.owner) == [(3,)], "left"
    pending.embeddings("zoo", "zoo:02of02")
    assert Counter(Counter(pending.embedded).values()) == {1: TEXTS}
    assert other.take(hashes) == set(), "they have vectors by now"
    pending.embeddings("zoo", "zoo:02of02")
    assert rows(engine, "SELECT count(*) FROM rag.embedding_claims") == [(0,)], "none of an ended process is left"
