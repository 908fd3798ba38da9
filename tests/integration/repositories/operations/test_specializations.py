"""Specializations and their adapters, of which one serves at a time."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from rag_assets.errors import UsageError
from rag_assets.repositories import Adapters, SyncAdapters, SyncSpecializations
from tests.integration.repositories.conftest import InLoop
from tests.support.pipeline.runs import rows

FILE: dict[str, Any] = {"base_model": "base-8b", "uri": "s3://adapters/chef", "rank": 16, "alpha": 32}
SHA = "ab" * 32


@pytest.fixture
def specializations(engine: Engine) -> SyncSpecializations:
    return SyncSpecializations(engine)


@pytest.fixture
def adapters(engine: Engine) -> SyncAdapters:
    return SyncAdapters(engine)


@pytest.fixture
def chef(specializations: SyncSpecializations) -> UUID:
    return specializations.create("chef").id


def test_a_specialization_is_created_found_changed_and_deleted(specializations: SyncSpecializations) -> None:
    made = specializations.create("chef", system_prompt="Cook.", settings={"temperature": 0.2})
    specializations.create("baker")
    assert [found.name for found in specializations.list_all()] == ["baker", "chef"]
    found = specializations.find_by_name("chef")
    assert found is not None
    assert (found.id, found.settings) == (made.id, {"temperature": 0.2})
    changed = specializations.update(made.id, {"name": "cook", "settings": {}})
    assert (changed.name, changed.settings, changed.system_prompt) == ("cook", {}, "Cook.")
    assert changed.updated_at > made.updated_at
    specializations.delete(made.id)
    assert specializations.find_by_name("cook") is None
    with pytest.raises(UsageError, match="specializations has no row with the id"):
        specializations.delete(made.id)


def test_a_name_is_unique(specializations: SyncSpecializations) -> None:
    specializations.create("chef")
    with pytest.raises(UsageError, match=r"specializations has such a row already: .*chef"):
        specializations.create("chef")
    with pytest.raises(UsageError, match=r"specializations.name is ''"):
        specializations.create("")


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"rank": 0}, "the values violate the constraint ck_adapters_rank_positive of adapters"),
        ({"rank": 2.5}, "adapters.rank is 2.5; give a whole number"),
        ({"alpha": 0}, "ck_adapters_alpha_positive"),
        ({"alpha": float("inf")}, "adapters.alpha is inf; give a finite number"),
        ({"sha256": "XYZ"}, "ck_adapters_sha256_is_hex"),
        ({"base_model": "m" * 201}, r"adapters\.base_model is .*; it has 201 characters"),
        ({"metrics": {"loss": float("nan")}}, "adapters.metrics is nan"),
    ],
)
def test_an_invalid_adapter_is_refused(
    engine: Engine, adapters: SyncAdapters, chef: UUID, changed: dict[str, Any], error: str
) -> None:
    with pytest.raises(UsageError, match=error):
        adapters.create(chef, "v1", **FILE | changed)
    assert rows(engine, "SELECT count(*) FROM rag.adapters") == [(0,)]


def test_an_adapter_is_deleted_with_its_specialization(
    engine: Engine, specializations: SyncSpecializations, adapters: SyncAdapters, chef: UUID
) -> None:
    with pytest.raises(UsageError, match=r"adapters refers to a row that does not exist: .*specialization_id"):
        adapters.create(uuid4(), "v1", **FILE)
    adapters.create(chef, "v1", **FILE)
    with pytest.raises(UsageError, match="adapters has such a row already"):
        adapters.create(chef, "v1", **FILE)
    specializations.delete(chef)
    assert rows(engine, "SELECT count(*) FROM rag.adapters") == [(0,)]


def test_a_promotion_retires_the_serving_adapter_and_can_be_undone_by_another(
    adapters: SyncAdapters, chef: UUID
) -> None:
    first = adapters.create(chef, "v1", **FILE, sha256=SHA)
    second = adapters.create(chef, "v2", **FILE, sha256=SHA)
    other = adapters.create(chef, "other", **FILE | {"base_model": "base-70b"}, sha256=SHA)
    assert (first.status, adapters.serving(chef, "base-8b")) == ("draft", None)
    for promoted in (first, other, second, second, first):
        assert adapters.promote(promoted.id).status == "ready"
    states = [(found.name, found.status) for found in adapters.list_by_specialization(chef)]
    assert states == [("other", "ready"), ("v1", "ready"), ("v2", "retired")]
    serving = adapters.serving(chef, "base-8b")
    assert serving is not None
    assert serving.id == first.id
    assert adapters.retire(first.id).status == "retired"
    assert adapters.serving(chef, "base-8b") is None


def test_concurrent_promotions_leave_one_adapter_ready(
    adapters: SyncAdapters, chef: UUID, in_loop: InLoop[None]
) -> None:
    made = [adapters.create(chef, f"v{n}", **FILE, sha256=SHA).id for n in range(8)]

    async def work(engine: AsyncEngine) -> None:
        await asyncio.gather(*(Adapters(engine).promote(id_) for id_ in made))

    in_loop(work)
    states = [found.status for found in adapters.list_by_specialization(chef)]
    assert sorted(states) == ["ready"] + ["retired"] * 7


def test_a_unique_index_refuses_a_second_ready_adapter(engine: Engine, adapters: SyncAdapters, chef: UUID) -> None:
    for name in ("v1", "v2"):
        adapters.create(chef, name, **FILE, sha256=SHA)
    with pytest.raises(IntegrityError, match="uq_adapters_ready"), engine.begin() as connection:
        connection.execute(text("UPDATE rag.adapters SET status = 'ready'"))


def test_an_adapter_that_serves_cannot_be_changed(adapters: SyncAdapters, chef: UUID) -> None:
    made = adapters.create(chef, "v1", **FILE)
    with pytest.raises(UsageError, match="adapter 'v1' has no sha256"):
        adapters.promote(made.id)
    with pytest.raises(UsageError, match="adapter 'v1' is a draft and never served"):
        adapters.retire(made.id)
    adapters.update(made.id, {"sha256": SHA, "rank": 8})
    adapters.promote(made.id)
    with pytest.raises(UsageError, match="uri of adapter 'v1' cannot change: it is ready"):
        adapters.update(made.id, {"uri": "s3://elsewhere", "name": "v2"})
    changed = adapters.update(made.id, {"name": "v2", "metrics": {"loss": 0.5}})
    assert (changed.name, changed.metrics, changed.rank) == ("v2", {"loss": 0.5}, 8)
    with pytest.raises(UsageError, match="'status' cannot be changed in adapters"):
        adapters.update(made.id, {"status": "draft"})
    adapters.delete(made.id)
    with pytest.raises(UsageError, match="adapters has no row with the id"):
        adapters.get(made.id)
