"""`.access.yaml`: who may read the documents of a folder, and nobody where the file cannot be used."""

from pathlib import Path

import pytest

from rag_assets.documents.sources import SourceFile, open_source
from rag_assets.documents.sources.access_files import AccessFileError, parse_access_file


def declared(source: str | Path, **options: object) -> dict[str, tuple[str, ...] | None]:
    return {file.path: file.readers for file in open_source(source, **options).list()}  # type: ignore[arg-type]


def make(folder: Path, files: dict[str, str | bytes]) -> Path:
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return make(
        tmp_path,
        {
            ".access.yaml": '"**": group:staff\n"*.public.md": everyone\n"/salaries/**": [group:board, user:anna]\n',
            "a.md": "a",
            "a.public.md": "a",
            "salaries/of all.md": "a",
            "salaries/mine/.access.yaml": '"me.md": user:anna\n"none.md": []\n',
            "salaries/mine/me.md": "a",
            "salaries/mine/none.md": "a",
            "salaries/mine/other.md": "a",
        },
    )


EXPECTED = {
    "a.md": ("group:staff",),
    "a.public.md": ("everyone",),
    "salaries/of all.md": ("group:board", "user:anna"),
    # The nearest file with a glob that matches.
    "salaries/mine/me.md": ("user:anna",),
    "salaries/mine/none.md": (),
    "salaries/mine/other.md": ("group:board", "user:anna"),
}


@pytest.mark.parametrize("include", [[], ["*", ".access.yaml", ".*"]])
def test_the_nearest_rule_decides_and_the_file_is_never_a_document(shared: Path, include: list[str]) -> None:
    assert declared(shared, include=include) == EXPECTED


def test_a_remote_folder_has_the_same_rules(shared: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for file in (one for one in shared.rglob("*") if one.is_file()):
        memory.pipe_file(f"/access/{file.relative_to(shared)}", file.read_bytes())
    try:
        assert declared("memory://access") == EXPECTED
        assert declared("memory://access", exclude=[".access.yaml"]) == EXPECTED
    finally:
        memory.rm("/access", recursive=True)


def test_a_single_file_has_the_rules_of_its_folder(shared: Path) -> None:
    assert declared(shared / "salaries" / "mine" / "me.md") == {"me.md": ("user:anna",)}


def test_nothing_is_declared_without_a_file(tmp_path: Path) -> None:
    assert declared(make(tmp_path, {"a.md": "a"})) == {"a.md": None}
    assert declared(make(tmp_path, {".access.yaml": "# nothing yet\n"})) == {"a.md": None}


def test_a_file_that_cannot_be_used_makes_nobody_a_reader_below_it(tmp_path: Path) -> None:
    make(tmp_path, {"sub/.access.yaml": "'*': 'group:'", "sub/deep/a.md": "a", "b.md": "b"})
    make(tmp_path, {"sub/near/.access.yaml": "'*': everyone", "sub/near/c.md": "c"})
    files = {file.path: file for file in open_source(tmp_path).list()}
    assert {path: file.readers for path, file in files.items()} == {
        "b.md": None,
        "sub/deep/a.md": (),
        "sub/near/c.md": ("everyone",),
    }
    assert files["sub/deep/a.md"].readers_error == (
        "nobody may read it, since sub/.access.yaml does not say who may: '*': 'group:' is no reader; write everyone, "
        "user:NAME, group:NAME or tenant:NAME; correct it and ingest again"
    )


def test_a_link_out_of_the_source_is_not_followed(tmp_path: Path) -> None:
    make(tmp_path, {"outside.yaml": "'*': everyone", "docs/a.md": "a"})
    (tmp_path / "docs" / ".access.yaml").symlink_to(tmp_path / "outside.yaml")
    [file] = open_source(tmp_path / "docs").list()
    assert file.readers == ()
    assert file.readers_error
    assert "a link to a file outside" in file.readers_error
    (tmp_path / "docs" / ".access.yaml").unlink()
    (tmp_path / "docs" / ".access.yaml").symlink_to("gone")
    assert declared(tmp_path / "docs") == {"a.md": ()}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"'*': [group:a, staff]", "'\\*': 'staff' is no reader"),
        (b"'*': user: anna", "no YAML"),
        (b"'*': 'user: anna'", "is no reader"),
        (b"- '*'", "no mapping"),
        (b"text", "no mapping"),
        (b"'*': {a: b}", "no list of names"),
        (b"'*': everyone\n'*': user:a", "twice"),
        (b"'!x': everyone", "no glob"),
        (b"'': everyone", "no glob"),
        (b"[a]: everyone", "no glob"),
        (b"'[z-a]': everyone", "cannot be understood"),
        (b"'*': Everyone", "is no reader"),
        (b"'*': \"user:a\\0\"", "is no reader"),
        (b"'*':", "is no reader"),
        (b"\xff\xfe", "not UTF-8"),
        (b"'*': &a [*a]", "no list of names|no YAML"),
        (b"[" * 5000, "no YAML"),
        (b"#" * 1_000_001, "bytes"),
        (b"'*': !!python/object:os.system everyone", "^$"),
    ],
)
def test_what_cannot_be_understood(text: bytes, reason: str) -> None:
    if reason == "^$":
        # Tags are not looked at: the scalar is the text that it is.
        assert parse_access_file(text)[0].readers == ("everyone",)
        return
    with pytest.raises(AccessFileError, match=reason):
        parse_access_file(text)


def test_numbers_are_names() -> None:
    assert [rule.readers for rule in parse_access_file(b"a: user:1\nb: [user:007, group:no]")] == [
        ("group:no", "user:007"),
        ("user:1",),
    ]


def test_a_source_type_declares_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    from rag_assets.documents.sources.globs import Selection
    from rag_assets.documents.sources.source_types import ExternalSource

    class Wiki:
        uri = "wiki://x"

        def list(self) -> list[SourceFile]:
            return [
                SourceFile("a.md", "1", 1, ("user:b", "group:a", "user:b")),
                SourceFile("b.md", "1", 1, ("b",)),
                SourceFile("c.md", "1", 1, 7),  # type: ignore[arg-type]
                SourceFile("d.md", "1", 1, ("everyone",), "the wiki's\nanswer"),
                SourceFile("e.md", "1", 1),
            ]

    files = list(ExternalSource("wiki://x", Wiki(), Selection(), None).list())  # type: ignore[arg-type]
    assert [file.readers for file in files] == [("group:a", "user:b"), (), (), (), None]
    assert files[3].readers_error == "nobody may read it: its source declares its readers as the wiki's answer"
