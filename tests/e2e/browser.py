"""A real browser for end-to-end tests: Debian's chromium, headless, driven by selenium. It knows no page."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

CHROMIUM = Path("/usr/bin/chromium")
CHROMEDRIVER = Path("/usr/bin/chromedriver")  # named, so that selenium does not download one
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=900,900",
)

needs_browser = pytest.mark.skipif(
    not (CHROMIUM.exists() and CHROMEDRIVER.exists()),
    reason=f"needs {CHROMIUM} and {CHROMEDRIVER} (apt-get install chromium chromium-driver)",
)


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Chrome]:
    """Run a headless chromium with a profile of its own in the directory `profile`, and end it after the block.

    What the page logged in the browser's console is printed, so that a failing test shows it.
    """
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # chromedriver would write into the home directory
    service = Service(str(CHROMEDRIVER), env={**os.environ, "HOME": str(profile), "NO_PROXY": "*", "no_proxy": "*"})
    driver = Chrome(options=options, service=service)
    try:
        yield driver
        for line in driver.get_log("browser"):  # type: ignore[no-untyped-call]
            print("console:", line["level"], line["message"])
    finally:
        driver.quit()
