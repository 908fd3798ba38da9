"""Text that people write with markup: its front matter and headings."""
