"""The assets: documents, chunks, embeddings, index, live space, messages, memories, corpus map."""
