"""Make the pictures of README from a finished run: `python docs/pictures.py runs/demo [--hub local]`.

Writes docs/report.png, the top of the run's `report.html`, and docs/space.png, the Space's page after it has answered a
question of the evaluation. Needs Chromium, its driver, and the extras `all` and `dev`.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

HERE = Path(__file__).parent
WIDTH = 1100  # CSS pixels
PATIENCE = 600  # seconds: the page loads two models, and a CPU answers slowly


def main() -> None:
    """Make both pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--hub", help="as for solo-hub")
    given = parser.parse_args()
    with _browser() as browser:
        browser.get((given.run / "report.html").resolve().as_uri())
        _save(browser, "report.png", 960)
        with _comparison(given.run, given.hub) as address:
            browser.get(address)
            _ask(browser)
            _save(browser, "space.png", 1220)


@contextmanager
def _browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for option in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-proxy-server",
        "--hide-scrollbars",
    ):
        options.add_argument(option)
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield browser
    finally:
        browser.quit()


@contextmanager
def _comparison(run: Path, hub: str | None) -> Iterator[str]:
    """The page of `solo-hub compare`, at its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "solo_hub.cli.main", "compare", str(run), "--port", str(port)]
    server = subprocess.Popen([*command, "--hub", hub] if hub else command)
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + PATIENCE
        while not _answers(address):
            if server.poll() is not None or time.monotonic() > until:
                sys.exit("the page of `solo-hub compare` did not start")
            time.sleep(1)
        yield address
    finally:
        server.terminate()
        server.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False


def _ask(browser: Any) -> None:
    """Choose the first question of the evaluation, ask it, and wait for the answers."""
    wait = WebDriverWait(browser, PATIENCE)
    choices = Select(wait.until(lambda b: b.find_element(By.CSS_SELECTOR, "#pick select")))
    choices.select_by_index(1)
    question = browser.find_element(By.CSS_SELECTOR, "#question textarea")
    wait.until(lambda _: question.get_property("value"))
    browser.find_element(By.CSS_SELECTOR, "#ask").click()
    wait.until(lambda b: "Done" in b.find_element(By.CSS_SELECTOR, "#status").text)


def _save(browser: Any, name: str, height: int) -> None:
    """Keep what a screen of this height shows, from the top of the page."""
    screen = {"width": WIDTH, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.execute_script("window.scrollTo(0, 0)")
    time.sleep(1)  # charts are drawn after a change of size
    browser.save_screenshot(str(HERE / name))


if __name__ == "__main__":
    main()
