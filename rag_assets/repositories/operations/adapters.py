"""LoRA adapters: record them, choose which one serves, retire them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select
from sqlalchemy import update as update_rows

from rag_assets.db.models import Adapter, Specialization
from rag_assets.errors import UsageError
from rag_assets.repositories.core import entities
from rag_assets.repositories.core.values import parse_id


def create(
    connection: Connection,
    specialization_id: UUID,
    name: str,
    *,
    base_model: str,
    uri: str,
    rank: int,
    alpha: float,
    sha256: str | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> Adapter:
    """Record an adapter as a draft.

    `sha256` is the hexadecimal hash of its file, which `promote` requires. Raises UsageError where the specialization
    is unknown or has an adapter of this name.
    """
    values = {
        "specialization_id": specialization_id,
        "name": name,
        "base_model": base_model,
        "uri": uri,
        "rank": rank,
        "alpha": alpha,
        "sha256": sha256,
        "metrics": metrics or {},
    }
    return entities.create_row(connection, Adapter, values)


def get(connection: Connection, adapter_id: UUID) -> Adapter:
    """The adapter; raises UsageError where it does not exist."""
    return entities.get_row(connection, Adapter, adapter_id)


def list_by_specialization(connection: Connection, specialization_id: UUID) -> Sequence[Adapter]:
    """All adapters of a specialization, ordered by name."""
    owner = parse_id("specializations.id", specialization_id)
    return entities.fetch_all(
        connection, select(Adapter).where(Adapter.specialization_id == owner).order_by(Adapter.name)
    )


def serving(connection: Connection, specialization_id: UUID, base_model: str) -> Adapter | None:
    """The adapter that serves this specialization on this base model; None where no adapter does."""
    owner = parse_id("specializations.id", specialization_id)
    found = entities.fetch_all(
        connection,
        select(Adapter).where(
            Adapter.specialization_id == owner, Adapter.base_model == base_model, Adapter.status == "ready"
        ),
    )
    return found[0] if found else None


def update(connection: Connection, adapter_id: UUID, changes: Mapping[str, Any]) -> Adapter:
    """Change `name` or `metrics`; of a draft also `uri`, `rank`, `alpha` or `sha256`. Returns the adapter.

    Raises UsageError for another column, and for one that only a draft may change: an adapter that serves, or served,
    stays as it was tested.
    """
    values = entities.check_changes(Adapter, changes, "name", "metrics", "uri", "rank", "alpha", "sha256")
    adapter = _lock_and_get(connection, adapter_id)
    fixed = sorted(set(values) - {"name", "metrics"})
    if fixed and adapter.status != "draft":
        raise UsageError(
            f"{fixed[0]} of adapter {adapter.name!r} cannot change: it is {adapter.status}; create another adapter."
        )
    return entities.update_row(connection, Adapter, adapter_id, values)


def promote(connection: Connection, adapter_id: UUID) -> Adapter:
    """Let this adapter serve and retire the one that did, in one transaction; to go back, promote that one.

    Returns the adapter. Raises UsageError where its `sha256` is not recorded.
    """
    adapter = _lock_and_get(connection, adapter_id)
    if adapter.sha256 is None:
        raise UsageError(f"adapter {adapter.name!r} has no sha256; record the hash of its file, then promote it.")
    if adapter.status == "ready":
        return adapter
    connection.execute(
        update_rows(Adapter)
        .where(Adapter.specialization_id == adapter.specialization_id, Adapter.base_model == adapter.base_model)
        .where(Adapter.status == "ready")
        .values(status="retired")
    )
    return entities.update_row(connection, Adapter, adapter_id, {"status": "ready"})


def retire(connection: Connection, adapter_id: UUID) -> Adapter:
    """Stop this adapter from serving; no other takes its place. Returns it; raises UsageError for a draft."""
    adapter = _lock_and_get(connection, adapter_id)
    if adapter.status == "draft":
        raise UsageError(f"adapter {adapter.name!r} is a draft and never served; delete it, or promote it.")
    return entities.update_row(connection, Adapter, adapter_id, {"status": "retired"})


def delete(connection: Connection, adapter_id: UUID) -> None:
    """Delete the adapter's row permanently, not its file; raises UsageError where it does not exist."""
    entities.delete_row(connection, Adapter, adapter_id)


def _lock_and_get(connection: Connection, adapter_id: UUID) -> Adapter:
    """The adapter, after locking its specialization so that promotions and changes of its adapters take turns."""
    owner = entities.get_row(connection, Adapter, adapter_id).specialization_id
    connection.execute(select(Specialization.id).where(Specialization.id == owner).with_for_update(key_share=True))
    return entities.get_row(connection, Adapter, adapter_id)
