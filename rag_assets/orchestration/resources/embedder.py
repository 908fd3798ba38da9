"""The embedding models as a Dagster resource: chosen by the space, loaded at the first text."""

from typing import TYPE_CHECKING

from rag_assets.orchestration.resources.base import SettingsResource
from rag_assets.orchestration.retries import fail_without_retries

if TYPE_CHECKING:
    from rag_assets.db.models import EmbeddingSpace
    from rag_assets.db.spaces.text_kinds import Kind
    from rag_assets.embedding.encoder import Encoder
    from rag_assets.pipeline.target.wanted_space import Target


class Embedder(SettingsResource):
    """Embeds with sentence-transformers, or over HTTP; replace it with a subclass to embed with something else."""

    def target(self, kind: "Kind" = "chunks") -> "Target":
        """The embedding space that the settings ask for, for texts of this kind."""
        from rag_assets.pipeline.target.wanted_space import target_space

        with fail_without_retries():
            return target_space(self.settings, kind)

    def encoder(self, space: "EmbeddingSpace") -> "Encoder":
        """The encoder that makes the vectors of this space; one per process."""
        from rag_assets.embedding.encoder import get_space_encoder

        return get_space_encoder(space, self.settings)
