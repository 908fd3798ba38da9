"""Small charts as SVG, for pages that show Markdown; a plotting library would take longer to import than a run."""
