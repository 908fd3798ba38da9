"""Settings of an installation, from the environment and `.env`."""

from rag_assets.settings.settings import Settings, load_settings

__all__ = ["Settings", "load_settings"]
