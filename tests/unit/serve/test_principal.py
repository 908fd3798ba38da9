"""What a principal may read."""

from uuid import uuid4

import pytest

from rag_assets import NotFoundError
from rag_assets.serve.access.principal import ForbiddenError, Principal

ALL = Principal("1", "all")
ZOO = Principal("2", "zoo", projects={"zoo": uuid4(), "park": uuid4()})
NOTHING = Principal("3", "nothing", projects={})


def test_searches_are_narrowed_to_the_projects_of_a_principal() -> None:
    assert ALL.narrow({"project": "sea", "k": 3}) == {"project": "sea", "k": 3}
    assert ZOO.narrow({"project": "zoo"}) == {"project": "zoo"}
    none: list[dict[str, object]] = [{}, {"project": None}, {"project": []}]
    for options in none:
        assert ZOO.narrow(options)["project"] == ["zoo", "park"]
        with pytest.raises(ForbiddenError):
            NOTHING.narrow(options)


@pytest.mark.parametrize("project", ["sea", ["zoo", "sea"], "", ["zoo", 1], "x" * 1000])
def test_other_projects_do_not_exist_for_it(project: object) -> None:
    with pytest.raises(NotFoundError, match=r"there is no project .{1,120}\(known: park, zoo\)"):
        ZOO.narrow({"project": project})


def test_what_belongs_to_no_project_is_for_those_who_may_read_all() -> None:
    assert ALL.may_read(None)
    assert not ZOO.may_read(None)
    assert not ZOO.may_read(uuid4())
