"""The layout of a page: from segments of lines with their places to paragraphs, headings and tables in Markdown."""
