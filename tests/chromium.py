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


OPERATED = frozenset({
    "button", "checkbox", "combobox", "link", "listbox", "menuitem", "radio", "searchbox", "slider", "spinbutton",
    "switch", "tab", "textbox"})  # fmt: skip
"""Roles of what a person operates."""

# Contrast of every visible text with what is painted behind it, as WCAG 2.2 computes it (relative luminance, 1.4.3);
# see-through colours are laid over what lies below them, and what another element covers is not looked at.
_FAINT = """
const numbers = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
const over = (top, below) => {
  const a = top.length > 3 ? top[3] : 1;
  return [0, 1, 2].map((i) => top[i] * a + below[i] * (1 - a));
};
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const rgb = (colour) => {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const behind = (element) => {
  const layers = [];
  for (let e = element; e; e = e.parentElement) layers.push(rgb(getComputedStyle(e).backgroundColor));
  return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
};
const light = (c) => {
  const [r, g, b] = c.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const found = [];
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const text = walk.currentNode.textContent.trim(), element = walk.currentNode.parentElement;
  if (!text || !element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
  if (element.closest('script, style, [disabled], [aria-hidden=true], option')) continue;
  const box = element.getBoundingClientRect();
  if (box.width < 2 || box.height < 2) continue;  // for screen readers alone
  const style = getComputedStyle(element), background = behind(element);
  const [a, b] = [light(over(rgb(style.color), background)), light(background)].sort((x, y) => y - x);
  const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
  const ratio = (a + 0.05) / (b + 0.05);
  const told = `${ratio.toFixed(2)} ${style.color} on ${background.map(Math.round)}: ${text.slice(0, 60)}`;
  if (ratio < (large ? 3 : 4.5)) found.push(told);
}
return [...new Set(found)];
"""


def faint(browser):
    """Visible texts whose contrast is below WCAG's level AA (4.5, large ones 3)."""
    return browser.execute_script(_FAINT)


def unnamed(browser):
    """What the accessibility tree offers to operate without a name that a screen reader could say."""
    browser.execute_cdp_cmd("Accessibility.enable", {})
    nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    return [
        node["role"]["value"]
        for node in nodes
        if not node.get("ignored")
        and node.get("role", {}).get("value") in OPERATED
        and not node.get("name", {}).get("value", "").strip()
    ]


def outline(browser):
    """Levels of the visible headings, in their order."""
    headings = "[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].filter((h) => h.checkVisibility())"
    return browser.execute_script(f"return {headings}.map((h) => +h.tagName[1])")
