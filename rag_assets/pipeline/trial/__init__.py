"""Try another model on a sample of the texts, beside the live space."""
