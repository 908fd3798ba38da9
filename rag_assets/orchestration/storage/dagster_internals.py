"""The members of Dagster that are not public, apart from those of its storages, reached through this module alone.

tests/unit/test_private_members.py lists them and names the one that an installed version lacks. They are imported when
they are used, so that a version without one of them breaks nothing else.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    # What dg.define_asset_job returns.
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition as UnresolvedAssetJobDefinition,
    )
    from dagster._core.storage.event_log import EventLogStorage as EventLogStorage
    from dagster._utils.concurrency import ConcurrencyClaimStatus as ConcurrencyClaimStatus


def is_interrupted() -> bool:
    """Whether an interrupt came that Dagster holds back until a step runs."""
    from dagster._utils.interrupts import check_captured_interrupt

    return check_captured_interrupt()


def raise_interrupt() -> None:
    """Raise the interrupt that Dagster holds back, if there is one."""
    from dagster._utils.interrupts import pop_captured_interrupt

    if pop_captured_interrupt():
        raise dg.DagsterExecutionInterruptedError


def keep_partitions(context: dg.OutputContext, keys: Iterable[str]) -> None:
    """Let the step materialize these of its partitions alone: Dagster has no public way to leave some out."""
    context._asset_partitions_subset = context.asset_partitions_def.empty_subset().with_partition_keys(keys)


def add_partition_metadata(context: dg.OutputContext, key: str, metadata: Mapping[str, Any]) -> None:
    """Add metadata to one partition of a run over several.

    Metadata of the output would be copied to all of them, and the step's public method would read all partition keys
    for each, to check that it is one of the run's.
    """
    step = context.step_context
    step._metadata_accumulator = step._metadata_accumulator.with_additional_asset_metadata(
        context.asset_key, key, metadata
    )
