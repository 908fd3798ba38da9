"""The stages of a refresh: documents, chunks, embeddings, index, live space."""
