"""What HTTP and MCP both offer: each operation takes the principal, and shows what that may read."""
