"""What commands print: tables, progress bars, JUnit XML."""
