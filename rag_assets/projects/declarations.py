"""Projects declared in a YAML file or in code, instead of added by a command."""

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rag_assets.documents.sources import TOPICS_URI, canonical_uri
from rag_assets.errors import UsageError, pydantic_message, unknown_name_message
from rag_assets.projects.settings import ProjectSettings, dump_project_settings, parse_project_settings
from rag_assets.settings.settings import Settings

_FILE_NAME = "projects.yaml"


class ProjectDeclaration(BaseModel):
    """The wanted state of a project: `ProjectDeclaration(name="handbook", source="/srv/handbook", settings={…})`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    source: str
    description: str | None = None
    settings: Mapping[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Declarations:
    """The declared projects, and the file or `module:name` that declares them."""

    origin: str
    projects: tuple[ProjectDeclaration, ...]


def read_declarations(settings: Settings) -> Declarations | None:
    """The declarations of RAG_ASSETS_PROJECTS or of projects.yaml in the state folder; None without either.

    Addresses in a YAML file are relative to its folder. Raises UsageError for a file or a module that cannot be read,
    and for an invalid declaration.
    """
    if settings.projects is None:
        file = settings.state_dir / _FILE_NAME
        return _read_yaml(file) if file.exists() else None
    module, colon, name = settings.projects.partition(":")
    if colon and "/" not in settings.projects and not settings.projects.endswith((".yaml", ".yml")):
        return _import_declarations(module, name, settings.projects)
    return _read_yaml(Path(settings.projects).expanduser())


def declare_projects(origin: str, folder: Path, projects: Mapping[str, Any]) -> Declarations:
    """Declarations that are not in a file: projects by name, each with what it has in one. Folders are relative."""
    return _validate(origin, tuple(_parse_project(origin, folder, name, entry) for name, entry in projects.items()))


def _import_declarations(module: str, name: str, origin: str) -> Declarations:
    try:
        declared: Iterable[ProjectDeclaration] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"RAG_ASSETS_PROJECTS {origin!r} cannot be imported ({error}); correct it.") from error
    projects = tuple(declared)
    wrong = next((one for one in projects if not isinstance(one, ProjectDeclaration)), None)
    if wrong is not None:
        raise UsageError(f"{origin} contains a {type(wrong).__name__}; make it a list of ProjectDeclaration.")
    return _validate(origin, projects)


def _read_yaml(file: Path) -> Declarations:
    import yaml

    origin = str(file.resolve())
    try:
        node = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        found = None if node is None else yaml.SafeLoader("").construct_document(node)
        duplicate = _find_duplicate_key(node)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{origin} cannot be read ({' '.join(str(error).split())}); correct it.") from error
    if duplicate is not None:
        # yaml keeps the last one without a warning.
        raise UsageError(f"{origin} has the key {duplicate!r} twice in one mapping; remove one.")
    projects = found.get("projects") if isinstance(found, dict) and set(found) <= {"projects"} else None
    if not isinstance(projects, dict):
        raise UsageError(f"{origin} must have one key, `projects`, with a mapping from names to projects.")
    folder = file.resolve().parent
    return declare_projects(origin, folder, projects)


def _find_duplicate_key(node: Any) -> str | None:
    pairs = node.value if node is not None and node.id == "mapping" else []
    nested = (_find_duplicate_key(value) for _, value in pairs)
    return _find_duplicate([str(key.value) for key, _ in pairs]) or next(filter(None, nested), None)


def _find_duplicate(names: Sequence[str]) -> str | None:
    return next((name for name in names if names.count(name) > 1), None)


def _parse_project(origin: str, folder: Path, name: Any, entry: Any) -> ProjectDeclaration:
    known = [field for field in ProjectDeclaration.model_fields if field != "name"]
    if not isinstance(entry, dict):
        raise UsageError(f"{origin}: project {name} must be a mapping with {', '.join(known)}.")
    unknown = [key for key in entry if key not in known]
    if unknown:
        raise UsageError(f"{origin}: project {name}: {unknown_name_message(str(unknown[0]), known)}")
    try:
        declared = ProjectDeclaration(name=name, **{key: value for key, value in entry.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"{origin}: project {name}: {'.'.join(map(str, first['loc']))}: {pydantic_message(first['msg'])}; "
            "correct it."
        ) from None
    settings = dict(declared.settings)
    if settings.get("questions"):
        settings["questions"] = _resolve_address(folder, str(settings["questions"]))
    return declared.model_copy(update={"source": _resolve_address(folder, declared.source), "settings": settings})


def _resolve_address(folder: Path, address: str) -> str:
    if address == TOPICS_URI or "://" in address or "::" in address:
        return address
    return str(folder / Path(address).expanduser())


def _validate(origin: str, projects: tuple[ProjectDeclaration, ...]) -> Declarations:
    from rag_assets.projects.store import check_project_name

    try:
        duplicate = _find_duplicate([check_project_name(declared.name) for declared in projects])
        if duplicate is not None:
            raise UsageError(f"project {duplicate} is declared twice; remove one.")
        return Declarations(origin, tuple(map(_normalize, projects)))
    except UsageError as error:
        raise UsageError(f"{origin}: {error}") from error


def _normalize(declared: ProjectDeclaration) -> ProjectDeclaration:
    checked: ProjectSettings = parse_project_settings(declared.name, declared.settings)
    settings = dump_project_settings(checked)
    if checked.questions:
        settings["questions"] = canonical_uri(checked.questions)
    return declared.model_copy(update={"source": canonical_uri(declared.source), "settings": settings})
