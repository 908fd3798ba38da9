"""What another model would be worth, and would cost; finding it out changes nothing."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.documents.splitting.tokenizer import count_tokens
from rag_assets.embedding.batches import PartlyEncodedError, token_batches
from rag_assets.embedding.encoder import Encoder
from rag_assets.embedding.long_texts import PiecewiseEncoder
from rag_assets.embedding.remote.names import is_remote
from rag_assets.errors import ServiceError, UsageError
from rag_assets.pipeline.estimate import CostEstimate, estimate_cost
from rag_assets.pipeline.progress import report_progress
from rag_assets.pipeline.stages.vectors.budget import cost_of
from rag_assets.pipeline.target.chunking import model_tokenizer, space_splitter
from rag_assets.pipeline.target.wanted_space import target_space
from rag_assets.pipeline.trial.ranking import rank_chunks, score_rankings, share_of_best
from rag_assets.pipeline.trial.sample import SampledChunk, judged_queries, made_queries, sample_chunks
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MakeEncoderWith = Callable[[EmbeddingSpace, Settings], Encoder]


@dataclass(frozen=True, slots=True)
class ModelTrial:
    """What a model would be worth, and would cost; the fields are the keys of `rag-assets try --json`.

    Both models rank the same `texts` of the live space for the same `queries`: the evaluation queries of the projects,
    or, with `queries_made`, headings and titles that should find their own document. `overlap@10` is the mean share of
    the ten best chunks that both find. `sample` is what the trial took, `all` what a space of all texts would take;
    costs are None where RAG_ASSETS_EMBEDDING_PRICE does not name the model.
    """

    model: str
    live_model: str
    texts: int
    refused: int
    queries: int
    queries_made: bool
    live: Mapping[str, float]
    tried: Mapping[str, float]
    overlap: float
    sample: Mapping[str, float | None]
    all: Mapping[str, float | None]

    def as_json(self) -> dict[str, Any]:
        return {("overlap@10" if name == "overlap" else name): value for name, value in asdict(self).items()}


def try_model(
    engine: Engine,
    settings: Settings,
    model: str,
    make_encoder: MakeEncoderWith,
    *,
    sample: int = 500,
    project: str | None = None,
) -> ModelTrial:
    """Embed up to `sample` texts with the model, and compare its answers with those of the live space.

    All other settings, such as RAG_ASSETS_DIMENSIONS and RAG_ASSETS_EMBEDDING_URL, are those of the tried model. Raises
    ServiceError while no space is live, and UsageError where the sample would cost more than RAG_ASSETS_BUDGET_RUN.
    """
    import numpy as np

    tried = settings.model_copy(update={"model": model, "model_revision": None})
    target = target_space(tried)
    space = EmbeddingSpace(**asdict(target.definition), status="building")
    with engine.connect() as connection:
        live = get_live_space(connection)
        if live is None:
            raise ServiceError("there is nothing to compare with yet: no space is live; run rag-assets ingest first.")
        judged = judged_queries(connection, live, project)
        wanted = {document for query in judged for document, grade in query.relevant.items() if grade}
        chunks = sample_chunks(connection, live, project, wanted, sample)
    if not chunks:
        raise ServiceError("there is nothing to try it on: the live space has no vectors; run rag-assets ingest first.")
    tokenizer = model_tokenizer(target.model)
    counts = count_tokens(tokenizer, [chunk.text for chunk in chunks])
    _check_budget(tried, model, sum(counts))
    encoder = make_encoder(space, tried)
    whole = PiecewiseEncoder(
        encoder, space_splitter(space, target.model), batch_tokens=tried.batch_tokens, normalize=space.normalize
    )
    if not is_remote(model):
        # Untimed: the first text loads the model.
        encoder.encode([min((chunk.text for chunk in chunks), key=len)])
    started = time.perf_counter()
    vectors = _embed(whole, chunks, counts)
    seconds = time.perf_counter() - started
    billed = whole.take_billed_tokens() or sum(counts)
    kept = [chunk for chunk in chunks if chunk.text in vectors]
    if not kept:
        raise ServiceError(f"the model {model} refused all {len(chunks)} texts of the sample; choose another one.")
    present = {chunk.document for chunk in kept}
    found = [query for query in judged if any(document in present for document in query.relevant)]
    queries = found or made_queries(kept)
    texts = [query.text for query in queries]
    by_live = rank_chunks(make_encoder(live, tried), texts, np.stack([chunk.vector for chunk in kept]))
    by_tried = rank_chunks(encoder, texts, np.stack([vectors[chunk.text] for chunk in kept]))
    plan = estimate_cost(engine, tried)
    return ModelTrial(
        model=model,
        live_model=live.model,
        texts=len(kept),
        refused=len(chunks) - len(kept),
        queries=len(queries),
        queries_made=not found,
        live=score_rankings(queries, by_live, kept),
        tried=score_rankings(queries, by_tried, kept),
        overlap=share_of_best(by_live, by_tried),
        sample={"seconds": round(seconds, 3), "tokens": billed, "cost": _cost(tried, model, billed)},
        all=_whole(plan, tried, model, seconds / max(1, sum(counts))),
    )


def _whole(plan: CostEstimate, settings: Settings, model: str, seconds_per_token: float) -> dict[str, float | None]:
    tokens = plan.tokens_to_embed
    minutes = plan.embedding_minutes if plan.embedding_minutes is not None else tokens * seconds_per_token / 60
    return {
        "texts": plan.texts_to_embed,
        "tokens": tokens,
        "minutes": round(minutes, 2),
        "bytes": plan.table_bytes + plan.index_bytes,
        "cost": _cost(settings, model, tokens),
    }


def _cost(settings: Settings, model: str, tokens: float) -> float | None:
    return cost_of(tokens, settings.price_of(model))


def _check_budget(settings: Settings, model: str, tokens: int) -> None:
    cost, budget = _cost(settings, model, tokens), settings.budget_run
    if cost is not None and budget is not None and cost > budget:
        raise UsageError(
            f"the sample has {tokens:,} tokens, which cost {cost:.4g}, more than RAG_ASSETS_BUDGET_RUN={budget:g}; "
            "take a smaller --sample."
        )


def _embed(
    encoder: PiecewiseEncoder, chunks: Sequence[SampledChunk], counts: Sequence[int]
) -> "dict[str, NDArray[np.float32]]":
    """The vectors by text; a text that the model refuses has none."""
    ordered = sorted(zip(counts, (chunk.text for chunk in chunks), strict=True), reverse=True)
    vectors: dict[str, NDArray[np.float32]] = {}
    limits, done = encoder.batch_limits, 0
    for batch in token_batches([count for count, _ in ordered], limits.tokens, limits.texts):
        texts = [text for _, text in ordered[batch]]
        try:
            vectors.update(zip(texts, encoder.encode(texts), strict=True))
        except PartlyEncodedError as error:
            if error.stopped is not None:
                raise error.stopped from None
            vectors.update(error.vectors)
        done += len(texts)
        report_progress("try", done, len(chunks), "texts")
    return vectors
