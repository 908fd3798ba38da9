"""The asset checks, each a thin shell over rag_assets.pipeline.audit."""
