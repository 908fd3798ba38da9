"""Models and encoders: texts to vectors."""
