"""Embedding models over HTTP: OpenAI's interface, which many servers share, and those of Voyage and Cohere."""
