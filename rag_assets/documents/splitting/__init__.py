"""Text to chunks: boundaries, headings, packing, token counts."""
