"""Ranking of hits: rank fusion, reranking and MMR; and the context around each hit."""
