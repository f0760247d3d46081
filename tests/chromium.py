"""Headless Chromium for the tests of pages, and what such a test asks of it; skips where something is not installed."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

from selenium.webdriver.chrome.service import Service  # noqa: E402

OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic",
           "--disable-dev-shm-usage", "--no-proxy-server")  # fmt: skip


@contextmanager
def chromium():
    """A browser that logs what pages complain of and what they ask for."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("chromium and chromium-driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield browser
    finally:
        browser.quit()


def resize(browser, width, height=900):
    """Give the page a screen of this size in CSS pixels; a narrow one is a phone's."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
    )


def content_width(browser):
    """How wide the page's content is, in CSS pixels: more than the screen, where it must be scrolled sideways."""
    return browser.execute_script("return document.documentElement.scrollWidth")


def complaints(browser):
    """Warnings and errors in the console since the last call."""
    return [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def requested(browser):
    """Addresses that were asked for since the last call."""
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def picture(browser, name):
    """Keep a picture for a person to look at, where they asked for it."""
    if folder := os.environ.get("SOLO_HUB_SCREENSHOTS"):
        browser.save_screenshot(f"{folder}/{name}.png")
