"""Old module names work for one release, with a warning that names the replacement."""

import subprocess
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


def test_imports_of_the_first_readme_work() -> None:
    code = """
from rag_assets.db.engine import shared_async_engine, shared_engine
from rag_assets.db.pools import pool_statistics
from rag_assets.db.repositories import SyncBulk
from rag_assets.db.retry import reading_async, writing_async
from rag_assets.db.shutdown import close_async_engines
from rag_assets.search.retriever import Retriever
from rag_assets.search.async_retriever import AsyncRetriever
from rag_assets.settings import load_settings
from rag_assets.history import SqliteHistory
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, timeout=60)


def test_a_module_that_never_existed_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"rag_assets\.nothing"):
        import_module("rag_assets.nothing")
