"""Projects declared in YAML or in code."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import Engine

from rag_assets.errors import UsageError
from rag_assets.projects.declarations import Declarations, ProjectDeclaration, read_declarations
from rag_assets.projects.reconcile import reconcile_projects
from rag_assets.projects.store import get_project, project_names, save_project
from rag_assets.settings.settings import Settings

ZOO = """\
projects:
  zoo:
    source: animals
    description: What lives here.
    settings:
      include: ['*.md']
      language: german
  sea:
    source: https://example.org/sea/
"""


def settings_of(root: Path, projects: str | None = None) -> Settings:
    return Settings(state_dir=root / "state", projects=projects)


def declare(root: Path, text: str) -> Declarations:
    file = root / "state" / "projects.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    found = read_declarations(settings_of(root))
    assert found is not None
    return found


def test_yaml_in_the_state_folder_is_read_relative_to_it(tmp_path: Path) -> None:
    found = declare(tmp_path, ZOO)
    assert found.origin == str(tmp_path / "state" / "projects.yaml")
    zoo, sea = found.projects
    assert (zoo.name, zoo.source) == ("zoo", str(tmp_path / "state" / "animals"))
    assert zoo.settings == {"include": ["*.md"], "language": "german"}
    assert sea.source == "https://example.org/sea/"


def test_the_default_file_is_optional_and_a_named_one_is_not(tmp_path: Path) -> None:
    assert read_declarations(settings_of(tmp_path)) is None
    with pytest.raises(UsageError, match=r"other\.yaml cannot be read"):
        read_declarations(settings_of(tmp_path, str(tmp_path / "other.yaml")))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("projects: [zoo]", "a mapping from names to projects"),
        ("project: {}", "must have one key, `projects`"),
        ("projects: {zoo: {sorce: x}}", "project zoo: there is no setting 'sorce'; did you mean 'source'?"),
        ("projects: {zoo: {settings: {}}}", "project zoo: source: field required"),
        ("projects: {zoo: {source: x, settings: {exlude: []}}}", "did you mean 'exclude'?"),
        ("projects: {'My Zoo': {source: x}}", "'My Zoo' cannot be a project's name"),
        ("projects: {zoo: {source: x", "cannot be read"),
        ("projects: {zoo: {source: x}, sea: {source: y}, zoo: {source: z}}", "has the key 'zoo' twice"),
        (
            "projects: {zoo: {source: x, settings: {language: german, language: simple}}}",
            "has the key 'language' twice",
        ),
        ("projects: {zoo: {source: x, settings: 3}}", "settings: input should be a mapping"),
        ("projects: {zoo: {source: 's3://key:secret@bucket/x'}}", "credential"),
    ],
)
def test_invalid_yaml_is_refused_with_its_place(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(UsageError, match=re.escape(error)) as caught:
        declare(tmp_path, text)
    assert str(tmp_path / "state" / "projects.yaml") in str(caught.value)
    assert "secret" not in str(caught.value)


def test_projects_are_declared_in_code_by_module_and_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("our_projects")
    module.ours = [ProjectDeclaration(name="zoo", source=str(tmp_path), settings={"language": "simple"})]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "our_projects", module)
    found = read_declarations(settings_of(tmp_path, "our_projects:ours"))
    assert found is not None
    assert (found.origin, found.projects[0].source) == ("our_projects:ours", str(tmp_path))
    for wrong in ("our_projects:theirs", "nobody_has_this:ours"):
        with pytest.raises(UsageError, match=f"'{wrong}' cannot be imported"):
            read_declarations(settings_of(tmp_path, wrong))


def test_declared_projects_are_created_and_undeclared_ones_are_reported_and_stay(
    tmp_path: Path, engine: Engine
) -> None:
    declared = declare(tmp_path, ZOO)
    with engine.begin() as connection:
        save_project(connection, "by-hand", "/elsewhere", {})
        first = reconcile_projects(connection, declared)
        assert (first.added, first.changed, first.undeclared) == (["zoo", "sea"], [], [])
        again = reconcile_projects(connection, declared)
        assert (again.added, again.changed, again.undeclared) == ([], [], [])
        zoo = get_project(connection, "zoo")
        assert (zoo.description, zoo.declared_in) == ("What lives here.", declared.origin)
    less = declare(tmp_path, "projects: {zoo: {source: animals}}")
    with engine.begin() as connection:
        found = reconcile_projects(connection, less)
        assert (found.added, found.changed, found.undeclared) == ([], ["zoo"], ["sea"])
        assert get_project(connection, "zoo").settings == {}
        assert reconcile_projects(connection, None).undeclared == ["sea", "zoo"]
        assert project_names(connection) == ["by-hand", "sea", "zoo"], "undeclared projects are not purged"


def test_documents_that_an_application_deleted_stay_excluded(tmp_path: Path, engine: Engine) -> None:
    declared = declare(tmp_path, "projects: {zoo: {source: animals, settings: {language: german}}}")
    with engine.begin() as connection:
        save_project(connection, "zoo", "/old", {"forgotten": ["/a.md"]})
        assert reconcile_projects(connection, declared).changed == ["zoo"]
        assert get_project(connection, "zoo").settings == {"language": "german", "forgotten": ["/a.md"]}
        assert reconcile_projects(connection, declared).changed == []


def test_a_language_unknown_to_the_server_is_refused(tmp_path: Path, engine: Engine) -> None:
    declared = declare(tmp_path, "projects: {zoo: {source: x, settings: {language: germn}}}")
    with engine.begin() as connection, pytest.raises(UsageError, match="did you mean german"):
        reconcile_projects(connection, declared)
