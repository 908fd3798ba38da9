"""A map of the corpus: a sample of the chunks on the two principal components of their vectors."""

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

# More dots could not be told apart on a page.
MOST_DOTS = 1_500


@dataclass(frozen=True, slots=True)
class CorpusMap:
    """Dots by project; `explained` is the share of the vectors' variance that each of the two axes shows."""

    dots: dict[str, list[tuple[float, float]]]
    explained: tuple[float, float]


def map_corpus(engine: Engine, space: EmbeddingSpace, most: int = MOST_DOTS) -> CorpusMap:
    """Principal components (Pearson 1901) of at most `most` distinct texts; fewer than three lie at the origin."""
    import numpy as np

    stored = partition(space.id)
    # Content hashes are independent of the content, so the first ones are a random sample.
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
        rows = connection.execute(sample).all()
    vectors = [unpack_vector(sent).astype(np.float64) for _, sent in rows]
    if len(vectors) > 2:
        points, explained = _principal_components(np.array(vectors))
    else:
        points, explained = np.zeros((len(vectors), 2)), (0.0, 0.0)
    dots: dict[str, list[tuple[float, float]]] = {}
    for (project, _), (x, y) in zip(rows, points.tolist(), strict=True):
        dots.setdefault(project, []).append((x, y))
    return CorpusMap(dots, explained)


def _principal_components(vectors: "NDArray[np.float64]") -> "tuple[NDArray[np.float64], tuple[float, float]]":
    """The coordinates on the first two components, and the share of the variance that each explains."""
    import numpy as np

    centred = vectors - vectors.mean(axis=0)
    left, singular_values, _ = np.linalg.svd(centred, full_matrices=False)
    axes = min(2, len(singular_values))
    points = np.zeros((len(vectors), 2))
    points[:, :axes] = left[:, :axes] * singular_values[:axes]
    variance = float((singular_values**2).sum()) or 1.0
    shares = [float(value**2) / variance for value in singular_values[:2]] + [0.0, 0.0]
    return points, (shares[0], shares[1])
