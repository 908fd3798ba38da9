"""What orders hits: fusion, reranking, MMR; and the context around them."""
