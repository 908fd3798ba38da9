"""The command `rag-assets`: a module for each command, each a thin layer over the other rooms."""
