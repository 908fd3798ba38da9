"""The embedding models as a Dagster resource: found by what a space says, loaded at the first text."""

from typing import TYPE_CHECKING

from rag_assets.io.retrying import no_vain_retries
from rag_assets.resources.by_settings import BySettings

if TYPE_CHECKING:
    from rag_assets.db.models import EmbeddingSpace
    from rag_assets.db.texts import Kind
    from rag_assets.embedding.encoder import Encoder
    from rag_assets.stages.target import Target


class Embedder(BySettings):
    """sentence-transformers models; put a subclass in its place to embed with something else."""

    def target(self, kind: "Kind" = "chunks") -> "Target":
        """The space that the settings ask for, for texts of this kind."""
        from rag_assets.stages.target import target_space

        with no_vain_retries():
            return target_space(self.settings, kind)

    def encoder(self, space: "EmbeddingSpace") -> "Encoder":
        """What makes the vectors of this space; one a process."""
        from rag_assets.embedding.encoder import encoder_of_space

        return encoder_of_space(space, self.settings.device)
