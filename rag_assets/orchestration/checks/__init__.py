"""The asset checks, each a thin shell over pipeline/audit."""
