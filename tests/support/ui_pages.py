"""The pages of the Dagster UI: the one place that knows what is written on their buttons, and where."""

import re
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

LOCATION = "rag_assets"
# Limits for what hangs, not for what is slow: a page takes a second, a run up to a minute, the daemon looks for
# backfills every 30 s.
PAGE_MS = 60_000
RUN_MS = 900_000
ATTEMPTS, ATTEMPT_MS = 20, 500

# How a run ends, and a backfill, as their pages say it.
ENDS = ("Success", "Failure", "Canceled")
BACKFILL_ENDS = ("Succeeded", "Failed", "Canceled")


@dataclass(frozen=True)
class Pages:
    """A browser's window on one UI; screenshots go to a folder."""

    page: Page
    address: str
    pictures: Path

    def open(self, path: str) -> None:
        self.page.goto(self.address + path)

    def picture(self, name: str) -> Path:
        file = self.pictures / f"{name}.png"
        self.page.screenshot(path=file, animations="disabled")
        return file

    # Launching

    def materialize(self, job: str, *projects: str) -> str:
        """Launch a job over projects, or over all of them; gives the path of the run's page, or of the backfill's."""
        self.open(f"/locations/{LOCATION}/jobs/{job}")
        self.page.get_by_role("button", name="Materialize all").click()
        dialog = self.page.get_by_role("dialog").first
        expect(dialog.get_by_text("Partition selection")).to_be_visible()
        self.page.wait_for_load_state("networkidle")
        if projects:
            dialog.get_by_text("Select a partition").click()
            for project in projects:
                dialog.get_by_role("menuitem", name=project).click()
            self.page.keyboard.press("Escape")
        else:
            dialog.get_by_role("button", name="All", exact=True).click()
        self.picture("materialize")
        dialog.get_by_role("button", name="Launch").click()
        return self._launched()

    def materialize_asset(self, asset: str) -> str:
        """Launch a run of one asset that has no partitions, from its page."""
        self.open(f"/assets/{asset}")
        self.page.get_by_role("button", name="Materialize").first.click()
        return self._launched()

    def launch(self, job: str) -> str:
        """Launch a job from its launchpad, as it is."""
        self.open(f"/locations/{LOCATION}/jobs/{job}/playground")
        self.page.get_by_role("button", name="Launch run").click()
        self.page.wait_for_url("**/runs/*")
        return self.page.url.removeprefix(self.address)

    def _launched(self) -> str:
        said = self.page.get_by_role("region", name="Notifications").get_by_role("link", name="View")
        path = said.get_attribute("href")
        assert path
        return path

    # Watching

    def wait_for_run(self, path: str) -> str:
        """Watch a run on its page until it has ended, and say how."""
        self.open(path)
        end = self.page.get_by_text(re.compile(f"^({'|'.join(ENDS)})$")).first
        end.wait_for(timeout=RUN_MS)
        return end.inner_text()

    def expect_logged_end(self, end: str) -> None:
        """The page that watched a run must show the last line of its log, with nobody reloading it."""
        expect(self.page.get_by_text(f"RUN_{end.upper()}", exact=True)).to_be_visible()

    def wait_for_backfill(self, path: str) -> str:
        """Watch a backfill on its page until it has ended, and say how."""
        self.open(path)
        status = self.page.get_by_text("Status", exact=True).locator("..")
        expect(status).to_have_text(re.compile("|".join(BACKFILL_ENDS)), timeout=RUN_MS)
        return status.inner_text().split()[-1]

    # Looking

    def checks(self, asset: str) -> dict[str, str]:
        """What the list of an asset's checks says of each: Succeeded, Failed, Skipped, Not evaluated …"""
        self.open(f"/assets/{asset}?view=checks")
        self.page.get_by_role("button", name="Execute all").wait_for()
        self.page.wait_for_load_state("networkidle")
        for _ in range(ATTEMPTS):
            found = self._listed_checks()
            self.page.wait_for_timeout(ATTEMPT_MS)
            # The names are there before their states: what two looks agree on is meant.
            if found and found == self._listed_checks():
                return found
        raise AssertionError(f"the checks of {asset} do not come to rest: {found}")

    def _listed_checks(self) -> dict[str, str]:
        text = self.page.locator("body").inner_text()
        listed = text.split("Execute all\n", 1)[1].split("\nExecute\n", 1)[0].splitlines()
        # Each has three lines: its name, the name again to measure its width by, its state. Last is a title.
        return dict(zip(listed[0:-1:3], listed[2:-1:3], strict=True))

    def check(self, asset: str, name: str) -> None:
        self.open(f"/assets/{asset}?view=checks&checkDetail={name}")
        expect(self.page.get_by_text("Evaluation result")).to_be_visible()

    def chart(self, key: str, title: str) -> Locator:
        """Open the Markdown of this key of the metadata, and give the picture of this title in it."""
        row = self.page.get_by_role("row").filter(has_text=key)
        row.get_by_text("[Show Markdown]").first.click()
        picture = self.page.get_by_role("dialog").get_by_role("img", name=title)
        expect(picture).to_be_visible()
        return picture

    def partition(self, asset: str, key: str) -> dict[str, str]:
        """The metadata of the latest materialization of one partition, as shown."""
        self.open(f"/assets/{asset}?view=partitions&partition={key}")
        rows = self.page.get_by_role("row")
        rows.filter(has_text="dagster/partition_row_count").wait_for()
        cells = [row.get_by_role("cell").all_inner_texts() for row in rows.all()]
        return {key.strip(): value.strip() for key, value, *_ in cells}

    def asset(self, name: str) -> str:
        """All text of an asset's page, with the details that are folded away."""
        self.open(f"/assets/{name}")
        details = self.page.get_by_role("button", name="Compute details")
        details.wait_for()
        # The browser remembers what was unfolded on another asset's page.
        if details.get_attribute("aria-expanded") != "true":
            details.click()
        self.page.get_by_text("Code version").or_(self.page.get_by_text("Computed by")).first.wait_for()
        return self.page.locator("body").inner_text()

    def graph(self, group: str) -> None:
        """The assets of a group, as large as the window lets them be."""
        self.open(f"/locations/{LOCATION}/asset-groups/{group}")
        self.page.get_by_role("button", name="Hide navigation").click()
        self.page.wait_for_load_state("networkidle")
