"""Batches of texts: how large a model wants them, and what is left of one that failed in part."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag_assets.errors import RagAssetsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The most tokens of a batch, and the most texts, None for no limit."""

    tokens: int
    texts: int | None = None


class PartlyEncodedError(Exception):
    """Some texts have no vector: `vectors` of those that have one, `reasons` of those that the model refused.

    `stopped` is the error that ended the work before all texts were tried, if one did.
    """

    def __init__(
        self,
        vectors: "Mapping[str, NDArray[np.float32]]",
        reasons: Mapping[str, str],
        stopped: RagAssetsError | None = None,
    ) -> None:
        super().__init__(str(stopped) if stopped is not None else next(iter(reasons.values()), ""))
        self.vectors = vectors
        self.reasons = reasons
        self.stopped = stopped


def token_batches(counts: Sequence[int], budget: int, most: int | None = None) -> Iterator[slice]:
    """Split texts, ordered by length, into batches of at most `budget` tokens: longest text times number of texts.

    `most` limits the number of texts.
    """
    start, longest = 0, 0
    for index, count in enumerate(counts):
        longest = max(longest, count)
        number = index + 1 - start
        if number > 1 and (longest * number > budget or (most is not None and number > most)):
            yield slice(start, index)
            start, longest = index, count
    if start < len(counts):
        yield slice(start, len(counts))
