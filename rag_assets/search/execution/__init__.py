"""One search from request to answer: live space, query embedding, modes, post-processing."""
