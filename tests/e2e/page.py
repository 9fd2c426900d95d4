"""A page in a real browser, read in one step: an element found first could be replaced before it is looked at."""

from __future__ import annotations

from typing import Any

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.e2e.servers import wait_until


class Page:
    """The page that a browser shows.

    Args:
        driver: the browser.
        url: where the page is; it is opened.
    """

    def __init__(self, driver: Chrome, url: str) -> None:
        self.driver = driver
        self.url = url
        self.open()

    def open(self) -> None:
        """Open the page, or load it anew."""
        self.driver.get(self.url)

    def run(self, script: str, *arguments: object) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        """The text of the first element that fits, empty without one."""
        return str(self.run("return document.querySelector(arguments[0])?.textContent ?? ''", selector)).strip()

    def texts(self, selector: str) -> list[str]:
        """The texts of all elements that fit."""
        script = "return [...document.querySelectorAll(arguments[0])].map(each => each.textContent.trim())"
        return list(self.run(script, selector))

    def click(self, selector: str) -> None:
        """Click the first element that fits, as soon as there is one that can be clicked."""
        script = """
            const found = document.querySelector(arguments[0])
            if (!found || found.disabled || !found.checkVisibility()) return false
            found.click()
            return true"""
        wait_until(lambda: self.run(script, selector), what=f"{selector} to click")

    def write(self, selector: str, text: str) -> None:
        """Type into a field."""
        self.driver.find_element(By.CSS_SELECTOR, selector).send_keys(text)

    def wait_for(self, selector: str, text: str = "") -> str:
        """Wait for an element that fits and has a text in it, and return all of its text."""

        def found() -> bool:
            return bool(
                self.run(
                    "return [...document.querySelectorAll(arguments[0])]"
                    ".some(each => each.checkVisibility() && each.textContent.includes(arguments[1]))",
                    selector,
                    text,
                )
            )

        wait_until(found, what=f"{text!r} in {selector} of {self.url}, where there is {self.texts(selector)}")
        return self.text(selector)

    def block(self, *patterns: str) -> None:
        """Let no request to such URLs through from now on, as a firewall would."""
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": [*patterns]})
