"""Tables that other packages register by an entry point: discovery, loading and validation."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from rag_assets.db.spaces.registered_tables import ENTRY_POINT_GROUP, load_table, registered_kinds
from rag_assets.db.spaces.text_kinds import BUILT_IN_KINDS, check_kind, is_known_kind, list_kinds
from rag_assets.errors import UsageError
from tests.support.installation.notes import install_notes
from tests.support.installation.packages import install_package

MODELS = """
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from rag_assets.tables import Embeddable, Identified, Timestamped


class Base(DeclarativeBase):
    pass


class Plain(Identified, Base):
    __tablename__ = "plain"


class Undated(Identified, Embeddable, Base):
    __tablename__ = "undated"


class TwoKeys(Embeddable, Timestamped, Base):
    __tablename__ = "two_keys"

    a: Mapped[int] = mapped_column(primary_key=True)
    b: Mapped[int] = mapped_column(primary_key=True)


class Unmapped:
    pass


NUMBER = 7
"""


def register(folder: Path, monkeypatch: pytest.MonkeyPatch, entry_points: Mapping[str, str], name: str = "m") -> None:
    install_package(folder, monkeypatch, name, MODELS, entry_points, ENTRY_POINT_GROUP)


def test_only_built_in_kinds_exist_without_registered_tables() -> None:
    assert tuple(list_kinds()) == BUILT_IN_KINDS == ("chunks", "messages", "memories")


def test_a_registered_table_is_a_kind_named_like_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_notes(tmp_path, monkeypatch)
    assert list_kinds() == [*BUILT_IN_KINDS, "notes"]
    assert is_known_kind("notes")
    assert check_kind("notes") == "notes"
    model = load_table("notes")
    assert (model.__name__, model.__table__.fullname) == ("Note", "keeper.notes")
    assert load_table("notes") is model


def test_names_are_listed_without_importing_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_package(tmp_path, monkeypatch, "broken", "raise ImportError", {"notes": "broken:Note"}, ENTRY_POINT_GROUP)
    assert registered_kinds() == ["notes"]


def test_the_error_for_an_unknown_kind_lists_the_known_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_notes(tmp_path, monkeypatch)
    with pytest.raises(UsageError, match="the kind 'note'; choose one of chunks, messages, memories, notes"):
        check_kind("note")
    with pytest.raises(UsageError, match="no installed package registers a table 'note'; install"):
        load_table("note")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Notes", "has an invalid name; rename its entry point"),
        ("my-notes", "has an invalid name"),
        ("1notes", "has an invalid name"),
        ("n" * 41, "has an invalid name"),
        ("chunks", "has a name that rag_assets uses itself"),
        ("message", "has a name that rag_assets uses itself"),
        ("space", "has a name that rag_assets uses itself"),
    ],
)
def test_an_invalid_kind_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    register(tmp_path, monkeypatch, {name: "m:Plain"})
    with pytest.raises(UsageError, match=f"{name} = m:Plain of m {message}"):
        list_kinds()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("m:Missing", r"cannot be loaded \(AttributeError: .*Missing.*\); correct or uninstall its package"),
        ("nowhere:Note", r"cannot be loaded \(ModuleNotFoundError: No module named 'nowhere'\)"),
        ("m:NUMBER", "is not a mapped class"),
        ("m:Unmapped", "is not a mapped class"),
        ("m:Plain", "must inherit from Embeddable and Timestamped"),
        ("m:Undated", r"must inherit from Timestamped \(rag_assets.tables\)"),
        ("m:TwoKeys", "needs a primary key of one column; inherit from Identified"),
    ],
)
def test_a_class_that_cannot_be_embedded_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, message: str
) -> None:
    register(tmp_path, monkeypatch, {"things": value})
    with pytest.raises(UsageError, match=f"the table things = {value} of m {message}"):
        load_table("things")


def test_two_packages_cannot_register_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(tmp_path, monkeypatch, {"notes": "m:Plain"})
    register(tmp_path, monkeypatch, {"notes": "other:Plain"}, name="other")
    with pytest.raises(UsageError, match="registered by notes = m:Plain of m and by notes = other:Plain of other"):
        load_table("notes")
