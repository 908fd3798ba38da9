"""raw_documents: compare the source's listing with the stored documents, and read only what differs."""

from rag_assets.pipeline.stages.documents.listing import ListingUse
from rag_assets.pipeline.stages.documents.stage import read_documents

__all__ = ["ListingUse", "read_documents"]
