"""When an asset follows its upstreams without a schedule."""

import dagster as dg

Condition = dg.AutomationCondition[dg.AssetKey | dg.AssetCheckKey]

# The tag of runs that materialize everything from documents to live space. Dagster itself only sees this for the last
# partition that a run materialized, and for none when a whole job was requested, and would request all others again.
MAKES_ALL = {"rag_assets/makes": "all"}
# A tag of runs whose checks read what changed, and a part of the rest; those of all other runs read every row.
READS_CHANGES = {"rag_assets/checks": "changed"}

_UPDATED_ALONE: dg.AutomationCondition[dg.AssetKey] = (
    dg.AutomationCondition.newly_updated()
    & ~dg.AutomationCondition.executed_with_root_target()
    & ~dg.AutomationCondition.all_new_updates_have_run_tags(tag_values=MAKES_ALL)
)

_IDLE = ~dg.AutomationCondition.any_deps_in_progress() & ~dg.AutomationCondition.in_progress()


def _until_requested(updated: Condition) -> Condition:
    """True from an update until a run was requested after it.

    Not `eager()`: over partitions it waits until none is missing, so forever when one is broken, and it treats an
    update as handled that arrives in the tick in which the asset itself was finished. Here only a request resets the
    condition, and only in a tick without a new update: a run requested in that tick may have started before it.
    """
    return updated.since(dg.AutomationCondition.newly_requested() & ~updated)


# Assets of the same run, or requested in the same tick, are followed inside that run.
FOLLOWS_UPSTREAM: Condition = (
    _until_requested(dg.AutomationCondition.any_deps_match(_UPDATED_ALONE | dg.AutomationCondition.will_be_requested()))
    & _IDLE
).with_label("an upstream was updated, and is not followed yet")

# Partitioned upstreams have runs of their own, which must end before their vectors can be indexed.
FOLLOWS_PARTITIONS: Condition = (
    _until_requested(dg.AutomationCondition.any_deps_match(_UPDATED_ALONE)) & _IDLE
).with_label("a partition upstream was updated, and is not followed yet")
