"""PDF to Markdown: PDFium reads the characters, `layout` finds lines, columns, tables and headings."""
