"""What the resources have in common: the settings that they work by."""

from copy import copy
from typing import Self

import dagster as dg
from pydantic import PrivateAttr

from rag_assets.settings.settings import Settings, load_settings


class BySettings(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A resource that works by the settings of its pipeline, else by those of the environment."""

    # Dagster makes a resource anew for every run, from its config, which is no place for a password.
    _given: Settings | None = PrivateAttr(default=None)

    def of(self, settings: Settings | None) -> Self:
        """This resource, from here on at work by these settings; None: by those of the environment."""
        # The very same, with the model that it may have loaded, unless another pipeline has it in hand.
        bound = self if self._given is None or self._given == settings else copy(self)
        bound._given = settings
        return bound

    @property
    def settings(self) -> Settings:
        return load_settings() if self._given is None else self._given
