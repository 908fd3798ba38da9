"""Proof that a table's vectors are those of the model: a sample of its texts is embedded again and compared."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any

from rag_assets.documents.sources.rows.address import parse_row_address
from rag_assets.documents.sources.rows.source import RowSource
from rag_assets.documents.splitting.tokenizer import count_tokens
from rag_assets.documents.text import clean
from rag_assets.embedding.encoder import Encoder
from rag_assets.errors import IntegrityError, UsageError
from rag_assets.pipeline.progress import report_progress
from rag_assets.pipeline.stages.vectors.source_vectors import normalize_vector, to_vector
from rag_assets.pipeline.stages.vectors.vector_faults import vector_fault
from rag_assets.pipeline.target.chunking import model_tokenizer
from rag_assets.pipeline.target.wanted_space import Target

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The least cosine between a stored vector and that of the same text now. Vectors of 32-bit floats (pgvector's vector,
# arrays, JSON, bytes) differ by the order of additions alone; numbers of 16 bits are rounded besides.
LEAST_COSINE = {"halfvec": 0.998}
LEAST_COSINE_FLOAT32 = 0.999
_PAGE_ROWS = 500
_BATCH_TEXTS = 16
# A few of the longest texts are always in the sample: there libraries differ in what they cut off.
_LONGEST = 5
MOST_REFUSED = 1_000


@dataclass(slots=True)
class SurveyedRows:
    """The rows of a table as an import finds them; `refused` are the paths of rows that cannot be taken, by reason."""

    rows: int = 0
    texts: int = 0
    refused: dict[str, list[str]] = field(default_factory=dict)
    sample: list[tuple[str, str, Any]] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        return {reason: len(paths) for reason, paths in self.refused.items()}

    @property
    def refused_paths(self) -> list[str]:
        return [path for paths in self.refused.values() for path in paths]


@dataclass(frozen=True, slots=True)
class SampleProof:
    """How much the embedded sample agrees with the table's vectors."""

    texts: int
    least_cosine: float
    threshold: float
    disagreeing: int
    example: str

    @property
    def passed(self) -> bool:
        return not self.disagreeing


def survey_rows(source: RowSource, target: Target, sample: int) -> SurveyedRows:
    """Read all rows once, a page at a time, and choose a sample of those that can be taken.

    A row is refused without a text, without a vector, with a vector of zero length or not finite, and with a text that
    is longer than the model's window. Raises UsageError for vectors of other dimensions than the model's.
    """
    tokenizer, space = model_tokenizer(target.model), target.definition
    found, random, taken = SurveyedRows(), Random(0), 0  # noqa: S311
    longest: list[tuple[int, str, str, Any]] = []
    paths = (file.path for file in source.list())
    while page := list(islice(paths, _PAGE_ROWS)):
        rows = source.read_vectors(page)
        texts = {path: _text_of(rows[path][0].content) for path in page if path in rows}
        counts = dict(zip(texts, count_tokens(tokenizer, list(texts.values())), strict=True))
        found.rows += len(page)
        for path in page:
            if path not in rows:
                _refuse(found, "without_vector", path)
                continue
            vector = _vector(source, path, rows[path][1], target)
            if not texts[path]:
                _refuse(found, "without_text", path)
            elif counts[path] > space.max_tokens:
                _refuse(found, "longer_than_window", path)
            elif vector_fault(vector, space.dimensions, normalized=space.normalize):
                _refuse(found, "unusable_vector", path)
            else:
                taken += 1
                row = (path, texts[path], vector)
                # Each row is in the sample with the same probability, however many there are.
                if len(found.sample) < sample:
                    found.sample.append(row)
                elif (at := random.randrange(taken)) < sample:
                    found.sample[at] = row
                longest = sorted([*longest, (counts[path], *row)], key=lambda one: -one[0])[:_LONGEST]
        report_progress("survey", found.rows, None, "rows")
    found.texts = taken
    sampled = {path for path, *_ in found.sample}
    found.sample += [(path, text, vector) for _, path, text, vector in longest if path not in sampled]
    return found


def prove_sample(survey: SurveyedRows, source: RowSource, encoder: Encoder) -> SampleProof:
    """Embed the sample again and compare. Raises UsageError where there is no row that can be taken."""
    import numpy as np

    column_type = source.vector_type or "vector"
    threshold = LEAST_COSINE.get(column_type, LEAST_COSINE_FLOAT32)
    if not survey.sample:
        reasons = ", ".join(f"{number:,} {reason.replace('_', ' ')}" for reason, number in survey.counts.items())
        raise UsageError(
            f"no row can be taken ({reasons or 'the table is empty'}); name the columns of texts and vectors, or the "
            "model that made them."
        )
    texts = [text for _, text, _ in survey.sample]
    parts = (texts[start : start + _BATCH_TEXTS] for start in range(0, len(texts), _BATCH_TEXTS))
    again = np.concatenate([encoder.encode(part) for part in parts])
    cosines = [
        float(normalize_vector(given).astype(np.float64) @ normalize_vector(now).astype(np.float64))
        for (_, _, given), now in zip(survey.sample, again, strict=True)
    ]
    least = int(np.argmin(cosines))
    return SampleProof(
        texts=len(cosines),
        least_cosine=round(cosines[least], 6),
        threshold=threshold,
        disagreeing=sum(not cosine >= threshold for cosine in cosines),
        example=survey.sample[least][0],
    )


def refuse_disagreement(proof: SampleProof, shown: str, target: Target) -> None:
    """Raise IntegrityError unless the whole sample agrees."""
    if not proof.passed:
        raise IntegrityError(
            f"the vectors of {shown} are not those of {target.model.name}: of {proof.texts} texts that were embedded "
            f"again, {proof.disagreeing} have a cosine below {proof.threshold} (row {proof.example!r}: "
            f"{proof.least_cosine:.3f}); set RAG_ASSETS_MODEL and RAG_ASSETS_DOCUMENT_PROMPT to what made them. "
            "Nothing was imported."
        )


def _refuse(found: SurveyedRows, reason: str, path: str) -> None:
    paths = found.refused.setdefault(reason, [])
    paths.append(path)
    if sum(map(len, found.refused.values())) > MOST_REFUSED:
        counts = Counter({name: len(own) for name, own in found.refused.items()})
        worst, number = counts.most_common(1)[0]
        raise UsageError(
            f"more than {MOST_REFUSED:,} of {found.rows:,} rows cannot be taken ({number:,} "
            f"{worst.replace('_', ' ')}); choose a model with a longer window or a query without these rows, or read "
            "them with rag-assets ingest, which embeds what has no vector. Nothing was imported."
        )


def _vector(source: RowSource, path: str, value: Any, target: Target) -> "NDArray[np.float32]":
    space, column = target.definition, parse_row_address(source.uri).vector or ""
    vector = to_vector(value, path, column)
    if vector.shape != (space.dimensions,):
        raise UsageError(
            f"the vectors in column {column} have {len(vector)} dimensions, and those of {space.model} "
            f"{space.dimensions}; set RAG_ASSETS_MODEL (and RAG_ASSETS_DIMENSIONS) to the model that made them. "
            "Nothing was imported."
        )
    return normalize_vector(vector) if space.normalize else vector


def _text_of(content: str | bytes) -> str:
    return clean(content).strip() if isinstance(content, str) else ""
