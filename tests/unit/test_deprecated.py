"""Old module names work for one release, with a warning that names the replacement."""

import sys
from importlib import import_module

import pytest

from rag_assets._deprecated import RENAMED


@pytest.mark.parametrize("old", [old for old, replacements in RENAMED.items() if replacements])
def test_an_old_module_warns_and_has_the_names_of_its_replacement(old: str) -> None:
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=RENAMED[old][0].replace(".", r"\.")):
        module = import_module(old)
    replacements = [import_module(replacement) for replacement in RENAMED[old]]
    for name in (name for name in vars(replacements[0]) if not name.startswith("_")):
        assert getattr(module, name) is getattr(replacements[0], name)
    with pytest.raises(AttributeError, match=f"{old}.*nothing_like_it"):
        _ = module.nothing_like_it


def test_a_module_that_never_existed_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"rag_assets\.nothing"):
        import_module("rag_assets.nothing")
