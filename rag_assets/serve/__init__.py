"""One process that answers over HTTP and MCP: `rag-assets serve` and `rag-assets mcp`."""
