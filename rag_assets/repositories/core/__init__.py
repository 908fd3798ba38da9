"""What all repositories share: rows, validated values, lineage, purges."""
