"""rag-assets try."""
