"""The commands that serve applications, agents and people."""
