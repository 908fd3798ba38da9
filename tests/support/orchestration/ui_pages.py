"""The pages of the Dagster UI. Only this module knows their labels and layout."""

import re
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

LOCATION = "rag_assets"
# These only catch hangs: a page takes a second, a run up to a minute, and the daemon polls for backfills every 30 s.
PAGE_MS = 60_000
RUN_MS = 900_000
ATTEMPTS, ATTEMPT_MS = 20, 500

# The final states of a run and of a backfill, as their pages show them.
ENDS = ("Success", "Failure", "Canceled")
BACKFILL_ENDS = ("Succeeded", "Failed", "Canceled")


@dataclass(frozen=True)
class Pages:
    """A browser window on one UI; screenshots are saved in the folder `pictures`."""

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
        """Launch a job over the projects, or over all of them; return the path of the page of the run or backfill."""
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
        return self._launched_path()

    def materialize_asset(self, asset: str) -> str:
        """Launch a run of one asset that has no partitions, from its page."""
        self.open(f"/assets/{asset}")
        self.page.get_by_role("button", name="Materialize").first.click()
        return self._launched_path()

    def launch(self, job: str) -> str:
        """Launch a job from its launchpad with the default configuration."""
        self.open(f"/locations/{LOCATION}/jobs/{job}/playground")
        self.page.get_by_role("button", name="Launch run").click()
        self.page.wait_for_url("**/runs/*")
        return self.page.url.removeprefix(self.address)

    def _launched_path(self) -> str:
        link = self.page.get_by_role("region", name="Notifications").get_by_role("link", name="View")
        path = link.get_attribute("href")
        assert path
        return path

    # Waiting

    def wait_for_run(self, path: str) -> str:
        """Wait on the page of a run until the run ends; return its final state."""
        self.open(path)
        end = self.page.get_by_text(re.compile(f"^({'|'.join(ENDS)})$")).first
        end.wait_for(timeout=RUN_MS)
        return end.inner_text()

    def expect_logged_end(self, end: str) -> None:
        """Expect the last line of the log on the page of the run, without reloading it."""
        expect(self.page.get_by_text(f"RUN_{end.upper()}", exact=True)).to_be_visible()

    def wait_for_backfill(self, path: str) -> str:
        """Wait on the page of a backfill until it ends; return its final state."""
        self.open(path)
        status = self.page.get_by_text("Status", exact=True).locator("..")
        expect(status).to_have_text(re.compile("|".join(BACKFILL_ENDS)), timeout=RUN_MS)
        return status.inner_text().split()[-1]

    # Reading

    def checks(self, asset: str) -> dict[str, str]:
        """The states in the list of an asset's checks, by name: Succeeded, Failed, Skipped, Not evaluated …"""
        self.open(f"/assets/{asset}?view=checks")
        self.page.get_by_role("button", name="Execute all").wait_for()
        self.page.wait_for_load_state("networkidle")
        for _ in range(ATTEMPTS):
            found = self._listed_checks()
            self.page.wait_for_timeout(ATTEMPT_MS)
            # The names appear before their states, so wait until two readings are the same.
            if found and found == self._listed_checks():
                return found
        raise AssertionError(f"the checks of {asset} keep changing: {found}")

    def _listed_checks(self) -> dict[str, str]:
        text = self.page.locator("body").inner_text()
        listed = text.split("Execute all\n", 1)[1].split("\nExecute\n", 1)[0].splitlines()
        # Each check has three lines: its name, the name again (to measure its width), its state. A title comes last.
        return dict(zip(listed[0:-1:3], listed[2:-1:3], strict=True))

    def check(self, asset: str, name: str) -> None:
        self.open(f"/assets/{asset}?view=checks&checkDetail={name}")
        expect(self.page.get_by_text("Evaluation result")).to_be_visible()

    def chart(self, key: str, title: str) -> Locator:
        """Open the Markdown of this metadata key and return the picture with this title in it."""
        picture = self.markdown(key).get_by_role("img", name=title)
        expect(picture).to_be_visible()
        return picture

    def markdown(self, key: str) -> Locator:
        """Open the Markdown of this metadata key."""
        row = self.page.get_by_role("row").filter(has_text=key)
        row.get_by_text("[Show Markdown]").first.click()
        dialog = self.page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        return dialog

    def partition(self, asset: str, key: str) -> dict[str, str]:
        """The metadata of the latest materialization of one partition, as the page shows it."""
        self.open(f"/assets/{asset}?view=partitions&partition={key}")
        rows = self.page.get_by_role("row")
        rows.filter(has_text="dagster/partition_row_count").wait_for()
        cells = [row.get_by_role("cell").all_inner_texts() for row in rows.all()]
        return {key.strip(): value.strip() for key, value, *_ in cells}

    def asset(self, name: str) -> str:
        """All text of an asset's page, including the folded details."""
        self.open(f"/assets/{name}")
        details = self.page.get_by_role("button", name="Compute details")
        details.wait_for()
        # The browser remembers if the details were unfolded on the page of another asset.
        if details.get_attribute("aria-expanded") != "true":
            details.click()
        self.page.get_by_text("Code version").or_(self.page.get_by_text("Computed by")).first.wait_for()
        return self.page.locator("body").inner_text()

    def graph(self, group: str) -> None:
        """Show the graph of a group in the whole window."""
        self.open(f"/locations/{LOCATION}/asset-groups/{group}")
        self.page.get_by_role("button", name="Hide navigation").click()
        self.page.wait_for_load_state("networkidle")
