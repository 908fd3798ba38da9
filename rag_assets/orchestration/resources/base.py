"""The base class of the resources: each works with the settings of its pipeline."""

from copy import copy
from typing import Self

import dagster as dg
from pydantic import PrivateAttr

from rag_assets.settings.settings import Settings, load_settings


class SettingsResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A resource that works with the settings of its pipeline; without any, with those of the environment."""

    # A private attribute, not a field: fields are config, which Dagster records in every run, passwords included.
    _own_settings: Settings | None = PrivateAttr(default=None)

    def with_settings(self, settings: Settings | None) -> Self:
        """This resource bound to these settings (None: those of the environment).

        Returns the same object, which may have loaded a model, unless another pipeline has bound it already.
        """
        bound = self if self._own_settings is None or self._own_settings == settings else copy(self)
        bound._own_settings = settings
        return bound

    @property
    def settings(self) -> Settings:
        return load_settings() if self._own_settings is None else self._own_settings
