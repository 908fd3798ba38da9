"""The attributes of a pipeline in YAML as `dg` completes and checks them: its settings and projects, each by name."""

from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from dagster.components.resolved.context import ResolutionContext
from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from rag_assets.errors import unknown_name_message
from rag_assets.projects.settings import SETTABLE_KEYS, ProjectSettings
from rag_assets.settings.settings import Settings

_AS_THEY_ARE = (bool, int, float, str)


class _Attributes(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, given: Any) -> Any:
        """Suggest the nearest name, which the schema alone would not."""
        for name in given if isinstance(given, dict) else ():
            if name not in cls.model_fields:
                what = "setting" if cls is SettingsAttributes else "key"
                raise ValueError(unknown_name_message(str(name), list(cls.model_fields), what))
        return given


def _in_yaml(annotation: Any) -> Any:
    """The type of a value in YAML: each may be a template, which is a string."""
    if get_origin(annotation) is Annotated:
        return _in_yaml(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return Union[tuple(_in_yaml(part) for part in get_args(annotation))]  # noqa: UP007
    if get_origin(annotation) is Literal:
        return annotation | str
    if get_origin(annotation) is tuple:
        return list[str] | str
    if get_origin(annotation) is dict:
        return dict[str, float | str]
    return annotation | str if annotation in _AS_THEY_ARE else None if annotation is type(None) else str


def _fields(model: type[BaseModel], names: "tuple[str, ...] | None" = None) -> dict[str, Any]:
    return {
        name: (_in_yaml(field.annotation) | None, Field(None, description=field.description))
        for name, field in model.model_fields.items()
        if names is None or name in names
    }


SettingsAttributes = create_model("SettingsAttributes", __base__=_Attributes, **_fields(Settings))
ProjectSettingsAttributes = create_model(
    "ProjectSettingsAttributes", __base__=_Attributes, **_fields(ProjectSettings, SETTABLE_KEYS)
)


class ProjectAttributes(_Attributes):
    """A declared project: its source and, if you like, a description and settings of its own."""

    source: str = Field(description="A folder, a file or an address, as for `rag-assets ingest`.")
    description: str | None = Field(None, description="Shown where projects are listed.")
    settings: ProjectSettingsAttributes = Field(
        default_factory=ProjectSettingsAttributes, description="Settings of this project alone."
    )


def without_template(schema: dict[str, Any]) -> None:
    """Leave out that the whole attribute may be a template: `dg check yaml` then names the key that is wrong."""
    types = [one for one in schema.get("anyOf", ()) if one.get("type") != "string"]
    if len(types) == 1:
        del schema["anyOf"]
        schema.update(types[0])


def fill_settings(context: ResolutionContext, given: Any) -> dict[str, Any]:
    """The settings with their templates filled in."""
    return dict(context.resolve_value(_plain(given)) or {})


def fill_projects(context: ResolutionContext, given: Any) -> dict[str, dict[str, Any]]:
    return {name: dict(context.resolve_value(_plain(project))) for name, project in (given or {}).items()}


def _plain(given: Any) -> Any:
    return given.model_dump(exclude_unset=True) if isinstance(given, BaseModel) else given
