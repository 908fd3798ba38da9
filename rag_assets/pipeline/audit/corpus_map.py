"""How the corpus lies in its space: a sample of the chunks on the two axes along which their vectors differ most."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine, func, select
from sqlalchemy.dialects.postgresql import distinct_on

from rag_assets.db.models import Document, DocumentChunk, EmbeddingSpace, Project
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.vector_codec import unpack_vector

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# As many dots as a page shows apart.
MOST_DOTS = 1_500


@dataclass(frozen=True, slots=True)
class CorpusMap:
    """Dots by project; `explained` is the share of the vectors' variance that each of the two axes shows."""

    dots: dict[str, list[tuple[float, float]]]
    explained: tuple[float, float]


def corpus_map(engine: Engine, space: EmbeddingSpace, most: int = MOST_DOTS) -> CorpusMap:
    """By principal components of at most `most` distinct texts (Pearson 1901); empty where there are too few."""
    import numpy as np

    stored = partition(space.id)
    # Hashes are in no order that has to do with texts: the first of them are a fair sample.
    sample = (
        select(Project.name, func.vector_send(stored.c.embedding))
        .ext(distinct_on(stored.c.content_hash))
        .select_from(stored)
        .join(DocumentChunk, DocumentChunk.content_hash == stored.c.content_hash)
        .join(Document, Document.id == DocumentChunk.document_id)
        .join(Project, Project.id == Document.project_id)
        .where(DocumentChunk.chunking == space.chunking)
        .order_by(stored.c.content_hash, Project.name)
        .limit(most)
    )
    with engine.connect() as connection:
        found = connection.execute(sample).all()
    rows = [unpack_vector(sent).astype(np.float64) for _, sent in found]
    places, explained = _principal(np.array(rows)) if len(rows) > 2 else (np.zeros((len(rows), 2)), (0.0, 0.0))
    dots: dict[str, list[tuple[float, float]]] = {}
    for (project, _), (x, y) in zip(found, places.tolist(), strict=True):
        dots.setdefault(project, []).append((x, y))
    return CorpusMap(dots, explained)


def _principal(vectors: "NDArray[np.float64]") -> "tuple[NDArray[np.float64], tuple[float, float]]":
    import numpy as np

    centred = vectors - vectors.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    axes = min(2, len(sizes))
    places = np.zeros((len(vectors), 2))
    places[:, :axes] = left[:, :axes] * sizes[:axes]
    variance = float((sizes**2).sum()) or 1.0
    shares = [float(size**2) / variance for size in sizes[:2]] + [0.0, 0.0]
    return places, (shares[0], shares[1])
