"""What the resources have in common: the settings that they work by."""

from typing import Self

import dagster as dg
from pydantic import PrivateAttr

from rag_assets.settings import Settings, load_settings


class BySettings(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A resource that works by the settings of its pipeline, else by those of the environment."""

    # Dagster makes a resource anew for every run, from its config, which is no place for a password.
    _given: Settings | None = PrivateAttr(default=None)

    def of(self, settings: Settings | None) -> Self:
        """This very resource, from here on at work by these settings; None: by those of the environment."""
        self._given = settings
        return self

    @property
    def settings(self) -> Settings:
        return load_settings() if self._given is None else self._given
