"""The Dagster UI in a real browser, from an empty state on, in the order of a new user's first steps.

    UI_PICTURES=pictures pytest -n 0 tests/system/ui

saves the screenshots in a folder. The README shows two of them, `asset_graph.png` and `check_page.png`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Engine, make_url, text

from rag_assets.db.connections.engines import DRIVER, make_engine
from rag_assets.definitions import defs
from rag_assets.orchestration.build import build_definitions
from rag_assets.orchestration.io.metadata import column_schema
from tests.support.orchestration.ui_process import RunningUI
from tests.support.pipeline.stages import write
from tests.system.ui.conftest import OWNER

if TYPE_CHECKING:
    from tests.support.orchestration.ui_pages import Pages


TOPICS = "python-topics"
TABLES = {"raw_documents": "documents", "chunks": "document_chunks", "embeddings": "embeddings"}
KINDS = {"postgres": "Postgres", "python": "Python", "pytorch": "PyTorch"}
# Charts: asset, check, metadata key and title.
CHARTS = [
    ("raw_documents", "documents_readable", "chart", "Documents by type and status"),
    ("hnsw_index", "search_latency", "chart", "Searches, limit 1000 ms"),
    ("chunks", "chunks_fit_window", "chart", "Lengths of the chunks"),
]


def checks_of(*groups: str) -> dict[str, set[str]]:
    """The names of all checks of the assets in these groups, by asset."""
    specs = {spec.key: spec for spec in defs.resolve_all_asset_specs()}
    found: dict[str, set[str]] = {}
    for check in defs.asset_checks or []:
        for spec in check.check_specs:  # type: ignore[union-attr]
            if specs[spec.asset_key].group_name in groups:
                found.setdefault(spec.asset_key.to_user_string(), set()).add(spec.name)
    return found


@pytest.fixture(scope="module")
def ingested(pages: "Pages", served: RunningUI) -> Mapping[str, str]:
    """Materialize all assets of the only project from the page of the job, as a new user does first."""
    run = pages.materialize("ingest", TOPICS)
    end = pages.wait_for_run(run)
    pages.expect_logged_end(end)
    pages.picture("run")
    return {"run": run, "end": end}


@pytest.fixture(scope="module")
def tables(ingested: Mapping[str, str], served: RunningUI) -> Iterator[Engine]:
    engine = make_engine(make_url(served.run_command("db", "url").strip()).set(drivername=DRIVER))
    yield engine
    engine.dispose()


def test_all_assets_of_a_project_are_materialized_from_the_job_page(
    ingested: Mapping[str, str], pages: "Pages", tables: Engine
) -> None:
    assert ingested["end"] == "Success"
    with tables.connect() as connection:
        counts = {name: connection.scalar(text(f"SELECT count(*) FROM rag.{name}")) for name in TABLES.values()}
        served = connection.execute(text("SELECT project, count(*) FROM rag.live_chunks GROUP BY 1")).all()
    assert counts["documents"] > 70
    assert served == [(TOPICS, counts["document_chunks"])]
    for asset, table in TABLES.items():
        shown = pages.partition(asset, TOPICS)
        assert shown["dagster/partition_row_count"] == str(counts[table])
    pages.page.set_viewport_size({"width": 1960, "height": 500})
    pages.graph("rag")
    pages.picture("asset_graph")
    pages.page.set_viewport_size({"width": 1440, "height": 900})


def test_all_checks_pass_and_their_charts_are_drawn(ingested: Mapping[str, str], pages: "Pages") -> None:
    for asset, names in checks_of("rag").items():
        assert pages.checks(asset) == dict.fromkeys(names, "Succeeded")
    for asset, check, key, title in CHARTS:
        pages.check(asset, check)
        picture = pages.chart(key, title)
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 560
        pages.picture("check_page" if check == "chunks_fit_window" else check)


def test_the_corpus_map_is_drawn(ingested: Mapping[str, str], pages: "Pages") -> None:
    assert pages.wait_for_run(pages.materialize_asset("corpus_map")) == "Success"
    pages.open("/assets/corpus_map")
    picture = pages.chart("map", "Texts by project (principal components)")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 560


def test_every_asset_page_has_its_description(
    ingested: Mapping[str, str], pages: "Pages", served: RunningUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Code versions depend on the model of the installation.
    for name in (name for name in served.env if name.startswith("RAG_ASSETS_")):
        monkeypatch.setenv(name, served.env[name])
    for spec in build_definitions().resolve_all_asset_specs():
        name = spec.key.to_user_string()
        shown = " ".join(pages.asset(name).split())
        pages.picture(f"asset_{name}")
        assert spec.description
        said = " ".join(spec.description.split("\n\n")[0].replace("`", "").split())
        wanted = {said, f"Group {spec.group_name}", f"Owners {OWNER}", "Source code Open"}
        wanted |= {KINDS[kind] for kind in spec.kinds}
        wanted |= {f"Code version {spec.code_version}"} if spec.code_version else set()
        if name in TABLES:
            wanted |= {str(column.name) for column in column_schema(TABLES[name]).columns}
        assert {one for one in wanted if one not in shown} == set(), f"{name}: {shown}"


def test_one_damaged_row_is_one_red_check(ingested: Mapping[str, str], pages: "Pages", tables: Engine) -> None:
    shift = text(
        "UPDATE rag.document_chunks SET char_start = char_start + :by WHERE id = "
        "(SELECT id FROM rag.document_chunks ORDER BY id LIMIT 1)"
    )
    with tables.begin() as connection:
        assert connection.execute(shift, {"by": 1}).rowcount == 1
    try:
        # The check is a blocking one, and so the run says what it found.
        assert pages.wait_for_run(pages.launch("checks")) == "Failure"
        found = {asset: pages.checks(asset) for asset in checks_of("rag", "conversations")}
        pages.check("chunks", "offsets_reproduce_text")
        pages.picture("red_check")
    finally:
        with tables.begin() as connection:
            connection.execute(shift, {"by": -1})
    red = [name for shown in found.values() for name, state in shown.items() if state == "Failed"]
    assert red == ["offsets_reproduce_text"]
    assert {asset: set(shown) for asset, shown in found.items()} == checks_of("rag", "conversations")
    assert pages.page.get_by_text("1 of ").first.inner_text().startswith("1 of ")
    assert pages.wait_for_run(pages.launch("checks")) == "Success"


def test_backfill_of_all_projects_is_right_for_each(
    ingested: Mapping[str, str], pages: "Pages", served: RunningUI, tables: Engine, tmp_path: Path
) -> None:
    write(tmp_path / "sea/whale.md", "# Whales\n\nWhales sing in the deep sea.\n")
    for animal in ("Zebras", "Lions"):
        write(tmp_path / f"zoo/{animal}.md", f"# {animal}\n\n{animal} look at visitors.\n")
    # Added while the UI is open, as one does.
    for name in ("sea", "zoo"):
        served.run_command("projects", "add", name, tmp_path / name)
    backfill = pages.materialize("ingest")
    assert pages.wait_for_backfill(backfill) == "Succeeded"
    pages.picture("backfill")
    seen = {name: pages.partition("raw_documents", name) for name in (TOPICS, "sea", "zoo")}
    assert (seen["sea"]["seen"], seen["sea"]["inserted"]) == ("1", "1")
    assert (seen["zoo"]["seen"], seen["zoo"]["inserted"]) == ("2", "2")
    assert seen[TOPICS]["inserted"] == "0"
    assert seen[TOPICS]["unchanged"] == seen[TOPICS]["seen"] == seen[TOPICS]["dagster/partition_row_count"]
    with tables.connect() as connection:
        served_now = dict(connection.execute(text("SELECT project, count(*) FROM rag.live_chunks GROUP BY 1")).all())
    for name, count in served_now.items():
        assert pages.partition("chunks", name)["dagster/partition_row_count"] == str(count)
    assert served_now.keys() == {TOPICS, "sea", "zoo"}
    for asset in ("raw_documents", "chunks", "embeddings"):
        pages.open(f"/assets/{asset}?view=partitions")
        pages.page.get_by_text("Materialized (3)").wait_for()


HOSTILE_NAMES = (
    "<img src=x onerror=window.ran=1>.pdf",
    "[click](javascript:window.ran=1).pdf",
    "![x](http:x).pdf",
    "a|b.pdf",
    "`code` **bold** _it_ ~~gone~~.pdf",
    "&lt;b&gt;.pdf",
    "<script>window.ran=1<:script>.pdf",
    "two\nlines.pdf",
)


def test_names_are_shown_literally_and_run_nothing(pages: "Pages", served: RunningUI, tmp_path: Path) -> None:
    for name in HOSTILE_NAMES:
        # No PDF: each is listed with its name, as one that could not be read.
        write(tmp_path / "names" / name, "words")
    served.run_command("projects", "add", "names", tmp_path / "names")
    requests: list[str] = []
    pages.page.on("request", lambda request: requests.append(request.url))
    pages.wait_for_run(pages.materialize("ingest", "names"))
    pages.asset("raw_documents")
    pages.check("raw_documents", "documents_readable")
    listed = pages.markdown("failed_documents")
    shown = listed.get_by_role("cell").all_inner_texts()
    pages.picture("hostile_names")
    for name in HOSTILE_NAMES:
        assert name.replace("\n", " ") in shown
    assert listed.locator("img, script, a[href^=javascript], strong, em, code, del").count() == 0
    assert pages.page.evaluate("window.ran") is None
    assert [url for url in requests if not url.startswith((served.address, "data:", "blob:"))] == []
