"""Who asks: API keys, and the principal that travels with each request."""
