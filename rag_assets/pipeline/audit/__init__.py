"""What the checks measure: documents, vectors, index, latency, search quality."""
