"""The pages of the documentation, and a runner of their code blocks."""
