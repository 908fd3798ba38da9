"""When an asset follows its upstreams without a schedule."""

import dagster as dg

Condition = dg.AutomationCondition[dg.AssetKey | dg.AssetCheckKey]

# The tag of runs that make everything from documents to pointer. Dagster by itself sees that of the partition that a
# run made last, and of none where a whole job was asked for: it would have all the others made once more.
MAKES_ALL = {"rag_assets/makes": "all"}

_UPDATED_ALONE: dg.AutomationCondition[dg.AssetKey] = (
    dg.AutomationCondition.newly_updated()
    & ~dg.AutomationCondition.executed_with_root_target()
    & ~dg.AutomationCondition.all_new_updates_have_run_tags(tag_values=MAKES_ALL)
)

_IDLE = ~dg.AutomationCondition.any_deps_in_progress() & ~dg.AutomationCondition.in_progress()


def _not_followed_yet(updated: Condition) -> Condition:
    """True from an update on until a run was asked for after it.

    Not `eager()`: over partitions that waits until none is missing, so for ever on a broken one, and it takes an update
    that comes in the tick in which the asset itself was finished for done. Here only a request resets, and not one
    whose tick has an update of its own: that run may have begun before it.
    """
    return updated.since(dg.AutomationCondition.newly_requested() & ~updated)


# What runs in the same run, or is asked for in the same tick, follows there.
FOLLOWS_UPSTREAM: Condition = (
    _not_followed_yet(
        dg.AutomationCondition.any_deps_match(_UPDATED_ALONE | dg.AutomationCondition.will_be_requested())
    )
    & _IDLE
).with_label("an upstream was updated, and is not followed yet")

# Over partitions: runs of their own, which must be over before what they made can be indexed.
FOLLOWS_PARTITIONS: Condition = (
    _not_followed_yet(dg.AutomationCondition.any_deps_match(_UPDATED_ALONE)) & _IDLE
).with_label("a partition upstream was updated, and is not followed yet")
