"""Chromium without a screen, for the tests that look at pages."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait
from servers import CHROMEDRIVER, CHROMIUM

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[1]
SCREENSHOTS = Path(os.environ.get("SCREENSHOTS") or ROOT / ".artifacts" / "screenshots")
FLAGS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--window-size=1100,720"),
    "--force-color-profile=srgb",
]
PATIENCE = 60


class Browser:
    """A browser of one person: what it stores is its own, and gone at the end.

    Args:
        profile: Where it stores that.
        logs: Which of its logs it keeps.
    """

    def __init__(self, profile: Path, logs: Sequence[str] = ("browser",)) -> None:
        assert CHROMIUM, "apt-get install chromium chromium-driver"
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", dict.fromkeys(logs, "ALL"))
        self.driver = webdriver.Chrome(options, Service(CHROMEDRIVER))

    def one(self, selector: str):
        """Find an element."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """Read what elements hold, all at one moment."""
        script = "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)"
        return self.driver.execute_script(script, selector)

    def wait(self, condition, what: str):
        """Wait until something is to be seen."""
        replaced = (StaleElementReferenceException,)  # between finding it and looking at it
        waiting = WebDriverWait(self.driver, PATIENCE, 0.05, replaced)
        try:
            return waiting.until(lambda _: condition())
        except TimeoutException:
            self.picture("waited_in_vain")
            raise AssertionError(f"{what}: in vain; seen was {self.texts('body')}") from None

    def picture(self, name: str) -> None:
        """Keep a picture of the page."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        assert self.driver.save_screenshot(SCREENSHOTS / f"{name}.png")

    def complaints(self) -> list[str]:
        """Give the errors of scripts, and what the page's policy has stopped."""
        kinds = {"javascript", "security"}
        return [e["message"] for e in self.driver.get_log("browser") if e["source"] in kinds]
