"""The IO manager: writes the assets' streams, and loads our tables for any asset."""
