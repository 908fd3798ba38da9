"""The table of checks: name, result, and the figures that matter most."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Column

from rag_assets.cli.output.console import format_size, new_table, out, pluralize, shorten

if TYPE_CHECKING:
    from rag_assets.cli.runtime.run_job import CheckOutcome

Figures = dict[str, Any]


def _search_quality(figures: Figures) -> str:
    if not figures["questions"]:
        return str(figures.get("note", "no evaluation queries"))
    means = [value for name, value in figures.items() if name.endswith(" ndcg@10") and " threshold " not in name]
    lowest = f", nDCG@10 {min(means):.3f}" + (" at worst" if len(means) > 1 else "") if means else ""
    return f"{figures['questions']:,} evaluation queries{lowest}"


# By the name of the check, without the prefix that those of messages, memories and registered tables have.
KEY_FIGURES: dict[str, Callable[[Figures], str]] = {
    "documents_readable": lambda f: (
        f"{pluralize(f['documents'], 'document')}, {f['failed']:,} failed"
        + (f", {pluralize(f['replaced_characters'], 'character')} not decoded" if f.get("replaced_characters") else "")
        + (f", {f['with_remarks']:,} not read as a whole" if f.get("with_remarks") else "")
        + (f", {f['of_nobody']:,} nobody's" if f.get("of_nobody") else "")
    ),
    "documents_have_chunks": lambda f: (
        f"{pluralize(f['documents'], 'document')}, {f['without_their_chunks']:,} incomplete"
    ),
    "offsets_reproduce_text": lambda f: f"{pluralize(f['chunks'], 'chunk')}, {f['wrong']:,} wrong",
    "model_knows_alphabet": lambda f: f"{pluralize(f['documents'], 'document')}, {f['unknown']:,} in unknown letters",
    "chunks_fit_window": lambda f: f"longest {f['longest_tokens']:,} of {f['threshold']:,} tokens",
    "texts_have_vectors": lambda f: f"{pluralize(f['texts'], 'text')}, {f['missing']:,} without a vector",
    "vectors_are_sound": lambda f: f"{pluralize(f['vectors'], 'vector')} of {f['dimensions']:,} dimensions",
    "every_project_read": lambda f: f"{pluralize(f['projects'], 'project')}, {f['failed']:,} failed",
    "every_project_chunked": lambda f: f"{pluralize(f['projects'], 'project')}, {f['failed']:,} failed",
    "every_project_embedded": lambda f: f"{pluralize(f['projects'], 'project')}, {f['failed']:,} failed",
    "every_project_fresh": lambda f: f"{pluralize(f['projects'], 'project')}, oldest {f['oldest_hours']:,.1f} h",
    "no_orphan_vectors": lambda f: f"{pluralize(f['vectors'], 'vector')}, {f['orphans']:,} without a text",
    "index_valid": lambda f: f"{f['state']}, {format_size(f['bytes'])}",
    "index_used": lambda f: pluralize(f["vectors"], "vector"),
    "search_latency": lambda f: f"p95 {f['p95_ms']:.1f} ms, limit {f['threshold_ms']:g} ms",
    "recall_at_10": lambda f: f"mean {f['recall_mean']:.3f}, limit {f['threshold']:g}",
    "serves_wanted_space": lambda f: f"space {f['space']}, {f['chunks_shown']:,} of {pluralize(f['chunks'], 'chunk')}",
    "settings_agree": lambda f: f"space {f['space']}",
    "search_quality": _search_quality,
}
_RESULTS = {"passed": "[green]passed[/]", "FAILED": "[red]FAILED[/]", "warning": "[yellow]warning[/]"}


def print_checks(checks: "list[CheckOutcome]", *, verbose: bool = False) -> None:
    """One row for each check, grouped by asset. With `verbose`, all figures; else the reason or the key figures."""
    if not checks:
        return
    assets = list(dict.fromkeys(check.asset for check in checks))
    table = new_table(Column("check", no_wrap=True), Column("result", no_wrap=True), "figures")
    for check in sorted(checks, key=lambda check: assets.index(check.asset)):
        name = f"{check.asset}/{check.name}" if verbose else check.name
        table.add_row(name, _RESULTS[_result(check)], escape(_describe(check, verbose)))
    out.print(table)
    results = [_result(check) for check in checks]
    counts = ", ".join(f"{results.count(name):,} {name}" for name in _RESULTS if name in results)
    out.print(f"{pluralize(len(checks), 'check')}: {counts}\n")


def _result(check: "CheckOutcome") -> str:
    return "passed" if check.passed else "FAILED" if check.fatal else "warning"


def _describe(check: "CheckOutcome", verbose: bool) -> str:
    reason = "" if check.passed else _explain_failure(check)
    if verbose:
        return ": ".join(filter(None, (reason, ", ".join(_list_figures(check.metadata)))))
    return reason or key_figures(check)


def _explain_failure(check: "CheckOutcome") -> str:
    """The reason, and an example where the reason names none."""
    reason = check.description or "failed without a reason"
    examples = [str(one) for one in check.metadata.get("examples") or () if str(one) not in reason]
    return ": ".join([reason, *(shorten(example, 120) for example in examples[:1])])


def key_figures(check: "CheckOutcome") -> str:
    names = (name for name in KEY_FIGURES if check.name == name or check.name.endswith(f"_{name}"))
    summary = KEY_FIGURES.get(next(names, ""), _first_figures)
    try:
        return summary(check.metadata) + _describe_rest(check.metadata)
    except (KeyError, TypeError, ValueError):
        return _first_figures(check.metadata)


def _describe_rest(figures: Figures) -> str:
    """What a check of changes did not read or measure in this run."""
    if left := figures.get("rows_left"):
        return f"; read {figures['rows_read']:,} rows, {left:,} left to later runs"
    if runs := figures.get("measured_runs_ago"):
        return f"; measured {pluralize(runs, 'run')} ago"
    return ""


def _first_figures(figures: Figures) -> str:
    return ", ".join(_list_figures(figures)[:2])


def _list_figures(figures: Figures) -> list[str]:
    # Values of several lines are tables in Markdown, for the UI.
    return [
        f"{name} {_format_figure(value)}"
        for name, value in figures.items()
        if value not in ([], None) and "\n" not in str(value)
    ]


def _format_figure(value: Any) -> Any:
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else value
