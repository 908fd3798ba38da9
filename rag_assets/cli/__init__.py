"""The command `rag-assets`: one module a command, each a thin shell over the rooms below."""
