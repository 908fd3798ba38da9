"""Synthetic texts and vectors in clusters: the same for the same number, made block by block in little memory.

The vectors are shaped like those of all-MiniLM-L6-v2 over 6,038 chunks of documentation: a common direction, topics of
clusters, spectra that fall as 1/rank. Medians there: cosine to the nearest neighbour 0.74, to the tenth 0.63, of any
two 0.12, local intrinsic dimension 19; here, at 6,036: 0.76, 0.70, 0.13 and 20. So the vectors are about as
hard for a graph as those of real text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 384
BLOCK = 5_000
VOCABULARY = 50_000
TOPICS = 40
# The share of a text's words that belong to its cluster; the others belong to all clusters.
CLUSTER_WORD_SHARE = 0.2
# The shares of a vector's variance around the common direction: of its topic, of its cluster, its own.
VARIANCE_SHARES = {"topic": 0.35, "cluster": 0.25, "own": 0.4}
COMMON_LENGTH = 0.35

FUNCTION_WORDS = (
    "the of and to a in is that for it as with be on by this are or an from not at which if can will its has when "
    "have was but one other all more may no you so than into any then these only each there such some they been "
    "their used must should do does where both same what how between after before also because up out"
)
SYLLABLES = (
    "ba be bi bo ca ce co cra da de di do dra fa fe fi flo ga ge go gra ha he hi ja jo ka ke kli la le li lo lu ma "
    "me mi mo na ne ni no nu pa pe pi plo ra re ri ro sa se si so sta ta te ti to tra va ve vi vo wa we zo ran ter "
    "min cal dor"
)


@dataclass(frozen=True, slots=True)
class Block:
    """`vectors`, float32 (n, 384) of length 1, with their texts and the cluster of each."""

    vectors: NDArray[np.float32]
    texts: list[str]
    clusters: NDArray[np.int64]


class Corpus:
    """`size` texts in documents of `per_document` texts of one cluster, and held-out queries."""

    def __init__(self, size: int, *, per_document: int = 4, seed: int = 5) -> None:
        self.size = size
        self.clusters = max(200, size // 60)
        self._seed = seed
        self._per_document = per_document
        random = np.random.default_rng([seed, 0])
        spectrum = 1.0 / (np.arange(DIMENSIONS) + 3)
        self._scale = np.sqrt(spectrum / spectrum.sum()).astype(np.float32)
        # The noise within clusters has the same spectrum, but along other axes than the centres.
        self._axes = random.permutation(DIMENSIONS)
        self._weights = random.lognormal(0, 0.6, self.clusters)
        self._weights /= self._weights.sum()
        self._spread = np.exp(random.normal(0, 0.3, self.clusters)).astype(np.float32)
        topics = self._draw(random, TOPICS)[random.integers(0, TOPICS, self.clusters)]
        own = self._draw(random, self.clusters)
        self._centres = np.sqrt(VARIANCE_SHARES["topic"]) * topics + np.sqrt(VARIANCE_SHARES["cluster"]) * own
        self._common = self._draw(random, 1)
        self._common *= COMMON_LENGTH / np.linalg.norm(self._common)
        self._words = np.array(_vocabulary(random), dtype=object)
        # The Zipf-Mandelbrot law.
        frequency = 1.0 / (np.arange(VOCABULARY) + 2.7) ** 1.05
        self._cumulative = np.cumsum(frequency / frequency.sum())
        self._own_words = random.integers(500, VOCABULARY, (self.clusters, 100))

    def documents(self) -> int:
        return self.size // self._per_document

    def document_clusters(self) -> NDArray[np.int64]:
        """The cluster of each document, drawn by the weights of the clusters."""
        random = np.random.default_rng([self._seed, 1])
        return np.asarray(random.choice(self.clusters, self.documents(), p=self._weights))

    def blocks(self) -> Iterator[Block]:
        clusters = self.document_clusters().repeat(self._per_document)
        for number, start in enumerate(range(0, self.size, BLOCK)):
            yield self._block([self._seed, 2, number], clusters[start : start + BLOCK])

    def questions(self, count: int) -> Block:
        """Held-out queries, drawn like the texts: a few words each, most of them from their cluster."""
        random = np.random.default_rng([self._seed, 3])
        clusters = np.asarray(random.choice(self.clusters, count, p=self._weights))
        block = self._block([self._seed, 4], clusters)
        texts = []
        for cluster, text in zip(clusters, block.texts, strict=True):
            own = self._words[self._own_words[cluster][random.integers(0, 100, 3)]]
            texts.append(" ".join([*text.split()[: random.integers(2, 7)], *own]) + "?")
        return Block(block.vectors, texts, clusters)

    def _block(self, seed: list[int], clusters: NDArray[np.int64]) -> Block:
        random = np.random.default_rng(seed)
        noise = self._draw(random, len(clusters))[:, self._axes]
        own = np.sqrt(VARIANCE_SHARES["own"]) * self._spread[clusters, None] * noise
        vectors = self._common + np.sqrt(1 - COMMON_LENGTH**2) * (self._centres[clusters] + own)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return Block(vectors.astype(np.float32), self._texts(random, clusters), clusters)

    def _draw(self, random: np.random.Generator, number: int) -> NDArray[np.float32]:
        drawn: NDArray[np.float32] = random.standard_normal((number, DIMENSIONS), dtype=np.float32) * self._scale
        return drawn

    def _texts(self, random: np.random.Generator, clusters: NDArray[np.int64]) -> list[str]:
        lengths = random.integers(90, 151, len(clusters))
        words = np.searchsorted(self._cumulative, random.random((len(clusters), 150)))
        own = random.random(words.shape) < CLUSTER_WORD_SHARE
        words[own] = self._own_words[clusters.repeat(own.sum(axis=1)), random.integers(0, 100, int(own.sum()))]
        spelled: Any = self._words[words]
        return [_sentences(list(row[:length])) for row, length in zip(spelled, lengths, strict=True)]


def _sentences(words: list[str]) -> str:
    parts = [" ".join(words[at : at + 15]) for at in range(0, len(words), 15)]
    return " ".join(part[0].upper() + part[1:] + "." for part in parts)


def _vocabulary(random: np.random.Generator) -> list[str]:
    """Distinct words: function words first, then words of two to four syllables, the more frequent ones shorter."""
    words, parts = dict.fromkeys(FUNCTION_WORDS.split()), SYLLABLES.split()
    while len(words) < VOCABULARY:
        syllables = min(4, 2 + len(words) // 4_000)
        words["".join(parts[at] for at in random.integers(0, len(parts), syllables))] = None
    return list(words)
