"""Whether a space that is to take over answers the judged questions of the projects as well as the live one."""

from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from rag_assets.audit.finding import Finding
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces import live_space
from rag_assets.errors import RagAssetsError
from rag_assets.search.expectations import expectations
from rag_assets.settings import Settings

if TYPE_CHECKING:
    from rag_assets.search.query_vectors import MakeEncoder

COMPARED = ("ndcg@10", "recall@10")


def answers_no_worse(
    engine: Engine, settings: Settings, space: EmbeddingSpace, encoder: "MakeEncoder | None" = None
) -> Finding:
    """The judged questions of each project, asked in both spaces as searches ask: no metric falls by the tolerance."""
    with engine.connect() as connection:
        asked, live = expectations(connection), live_space(connection)
    if not asked or live is None or live.id == space.id:
        return Finding(True, {"questions": 0})
    from rag_assets.search.judging import judge
    from rag_assets.search.retriever import Retriever

    metadata: dict[str, Any] = {"questions": 0, "tolerance": settings.quality_tolerance}
    reasons = []
    for expected in asked:
        means = []
        try:
            questions = expected.read()
            for one in (live, space):
                retriever = Retriever(engine, ef_search=settings.ef_search, encoder=encoder, space=one)
                means.append(judge(engine, retriever, questions, project=expected.project, space=one).evaluation)
        except RagAssetsError as error:
            # What cannot be compared is not proved.
            reasons.append(f"{expected.project}: {error}")
            continue
        now, then = means
        metadata["questions"] += len(then.judged)
        for name in COMPARED:
            metadata |= {
                f"{expected.project} {name}": then.metrics[name],
                f"{expected.project} {name} live": now.metrics[name],
            }
            if then.metrics[name] < now.metrics[name] - settings.quality_tolerance:
                reasons.append(
                    f"{expected.project}: {name} of its judged questions is {then.metrics[name]:.3f}, "
                    f"but {now.metrics[name]:.3f} in the live space"
                )
    return Finding(not reasons, metadata, "; ".join(reasons))
