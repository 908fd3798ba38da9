"""The embedding models as a Dagster resource: found by what a space says, loaded at the first text."""

from typing import TYPE_CHECKING

from rag_assets.orchestration.resources.base import BySettings
from rag_assets.orchestration.retries import no_vain_retries

if TYPE_CHECKING:
    from rag_assets.db.models import EmbeddingSpace
    from rag_assets.db.spaces.text_kinds import Kind
    from rag_assets.embedding.encoder import Encoder
    from rag_assets.pipeline.target.wanted_space import Target


class Embedder(BySettings):
    """sentence-transformers models; put a subclass in its place to embed with something else."""

    def target(self, kind: "Kind" = "chunks") -> "Target":
        """The space that the settings ask for, for texts of this kind."""
        from rag_assets.pipeline.target.wanted_space import target_space

        with no_vain_retries():
            return target_space(self.settings, kind)

    def encoder(self, space: "EmbeddingSpace") -> "Encoder":
        """What makes the vectors of this space; one a process."""
        from rag_assets.embedding.encoder import get_space_encoder

        return get_space_encoder(space, self.settings.device)
