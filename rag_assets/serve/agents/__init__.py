"""The MCP interface: tools and resources for agents, over HTTP and stdio."""
