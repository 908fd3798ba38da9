from collections.abc import Sequence
from pathlib import Path

import pytest

from rag_assets.documents.sources import open_source
from rag_assets.documents.sources.globs import Selection
from rag_assets.errors import UsageError

FILES = [
    "README.md",
    "docs/guide.md",
    "docs/deep/notes.txt",
    "src/docs/inner.md",
    "src/main.py",
    "src/__pycache__/main.pyc",
    "src/logo.png",
    ".env",
    ".git/config",
    ".github/workflow.yml",
    "node_modules/pkg/README.md",
]


def select(include: Sequence[str] = (), exclude: Sequence[str] = (), files: Sequence[str] = FILES) -> list[str]:
    selection = Selection(include, exclude)
    return [path for path in files if selection.includes_path(path)]


def test_hidden_files_caches_and_formats_without_text_are_excluded_by_default() -> None:
    assert select() == [
        "README.md",
        "docs/guide.md",
        "docs/deep/notes.txt",
        "src/docs/inner.md",
        "src/main.py",
    ]


@pytest.mark.parametrize(
    ("include", "wanted"),
    [
        (["*.md"], ["README.md", "docs/guide.md", "src/docs/inner.md"]),
        (["/*.md"], ["README.md"]),
        (["./README.md"], ["README.md"]),
        (["docs/**"], ["docs/guide.md", "docs/deep/notes.txt"]),
        (["docs/"], ["docs/guide.md", "docs/deep/notes.txt", "src/docs/inner.md"]),
        (["docs/*.md"], ["docs/guide.md"]),
        (["**/docs/*.md"], ["docs/guide.md", "src/docs/inner.md"]),
        (["*.txt", "*.py"], ["docs/deep/notes.txt", "src/main.py"]),
        (["*.md", "!README.md"], ["docs/guide.md", "src/docs/inner.md"]),
        (["*.[pm][yd]"], ["README.md", "docs/guide.md", "src/docs/inner.md", "src/main.py"]),
        (["*.none"], []),
        ([".github/**"], [".github/workflow.yml"]),
        ([".env"], [".env"]),
        (["*.png"], ["src/logo.png"]),
        (["logo.*"], []),
        (["node_modules/**/README.md"], ["node_modules/pkg/README.md"]),
        (["**"], ["README.md", "docs/guide.md", "docs/deep/notes.txt", "src/docs/inner.md", "src/main.py"]),
    ],
)
def test_include_globs_follow_gitignore(include: list[str], wanted: list[str]) -> None:
    assert select(include) == wanted


@pytest.mark.parametrize(
    ("exclude", "wanted"),
    [
        (["docs/"], ["README.md", "src/main.py"]),
        (["/docs/"], ["README.md", "src/docs/inner.md", "src/main.py"]),
        (["*.md", "*.txt"], ["src/main.py"]),
        (["*.md", "!README.md"], ["README.md", "docs/deep/notes.txt", "src/main.py"]),
        (["docs/**", "!docs/guide.md"], ["README.md", "docs/guide.md", "src/docs/inner.md", "src/main.py"]),
    ],
)
def test_exclude_globs_follow_gitignore(exclude: list[str], wanted: list[str]) -> None:
    assert select(exclude=exclude) == wanted


def test_exclude_overrides_include() -> None:
    assert select(["*.md"], ["docs/"]) == ["README.md"]


def test_a_local_folder_selects_the_same_files(tmp_path: Path) -> None:
    for path in FILES:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    for include, exclude in [
        ((), ()),
        (["docs/"], ()),
        ((), ["docs/**", "!docs/guide.md"]),
        ([".git*/**"], ["*.yml"]),
    ]:
        listed = [file.path for file in open_source(tmp_path, include=include, exclude=exclude).list()]
        assert listed == sorted(select(include, exclude))


def test_globs_match_names_in_either_unicode_form_and_with_newlines() -> None:
    files = ["cafe\u0301/a\nb.md", "caf\u00e9/c.md", "#1.md", "new\nline/x.md"]
    assert select(["caf\u00e9/"], files=files) == files[:2]
    assert select(["cafe\u0301/"], files=files) == files[:2]
    assert select(["#1.md"], files=files) == ["#1.md"]
    assert select(["new*/**"], files=files) == ["new\nline/x.md"]


@pytest.mark.parametrize("glob", ["", "  ", "/", "!", "[z-a]", "[abc", "\\", "a\\"])
@pytest.mark.parametrize("option", ["include", "exclude"])
def test_an_invalid_glob_is_refused(tmp_path: Path, glob: str, option: str) -> None:
    with pytest.raises(UsageError, match=r"\.gitignore"):
        open_source(tmp_path, **{option: [glob]})  # type: ignore[arg-type]


def test_a_string_instead_of_a_list_of_globs_is_refused() -> None:
    with pytest.raises(UsageError, match="must be a list"):
        Selection("*.md")


def test_files_of_the_state_folder_are_never_selected() -> None:
    assert select([".rag_assets/**"], files=[".rag_assets/a.md", "x/.rag_assets/b.md"]) == []


LEFT_BEHIND = [
    *("~$report.docx", ".~lock.report.odt#", "notes.md~", "#notes.md#", ".#notes.md", ".notes.md.swp", "notes.md.swp"),
    *("notes.bak", "notes.md.BAK", "~WRL0001.tmp", "page.html.crdownload", ".DS_Store", "Thumbs.db", "desktop.ini"),
    *("Desktop.ini", "sub/~$book.xlsx", "__MACOSX/notes.md", "$RECYCLE.BIN/notes.md"),
]


@pytest.mark.parametrize("path", LEFT_BEHIND)
def test_lock_files_backups_and_files_of_the_system_are_left_out(path: str) -> None:
    assert not Selection().includes_path(path)
    assert not Selection(["*"]).includes_path(path)
    assert not Selection(["*.docx", "*.md", "sub/**"]).includes_path(path)


@pytest.mark.parametrize(
    ("path", "glob"),
    [
        ("~$report.docx", "~$*.docx"),
        ("notes.md~", "*~"),
        ("#notes.md#", "#*#"),
        ("notes.bak", "*.bak"),
        ("desktop.ini", "desktop.ini"),
        (".#notes.md", ".#*"),
        ("__MACOSX/notes.md", "__MACOSX/**"),
    ],
)
def test_a_glob_that_spells_such_a_name_selects_it(path: str, glob: str) -> None:
    assert Selection([glob]).includes_path(path)


@pytest.mark.parametrize(
    "path", ["~notes.md", "notes~1.md", "#1 guide.md", "C#.md", "bak/notes.md", "tmp/notes.md", "ini.md"]
)
def test_names_that_only_resemble_those_are_documents(path: str) -> None:
    assert Selection().includes_path(path)
