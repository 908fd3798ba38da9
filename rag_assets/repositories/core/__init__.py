"""What all repositories share: entities, values, lineage, purging, error messages."""
