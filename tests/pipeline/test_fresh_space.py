"""The Space as a stranger starts it: the published repo's own files, a fresh environment, a typed question.

Builds a virtual environment from the Space's requirements (a few GB, minutes), so it is a soak test; with
SOLO_HUB_SPACE_PYTHON an environment that was built before is taken.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request

import pytest
from chromium import chromium, complaints
from fresh_python import fresh_python
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from solo_hub import pipeline

pytestmark = [
    pytest.mark.soak,
    pytest.mark.browser,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore::Warning"),
]
CLEAN = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def space(context, settings, tmp_path):
    """The files of a published Space, pulled from the Hub, and the Hub's address."""
    settings["publish"] |= {"namespace": "tests", "adapter": "fresh-adapter", "dataset": "fresh-labels", "space": True}
    made = context(settings, tmp_path / "run")
    published = pipeline.distill(made, push=True)["published"]["space"]
    folder = tmp_path / "space"
    pulled = made.client.pull(made.client.pin(f"{published['repo_id']}@{published['commit']}", "space"), allow=["*"])
    shutil.copytree(pulled, folder)
    return folder, made.client.endpoint


@pytest.fixture
def python(space, tmp_path):
    if built := os.environ.get("SOLO_HUB_SPACE_PYTHON"):
        return built
    return fresh_python(tmp_path / "venv", "-r", space[0] / "requirements.txt")


@pytest.fixture
def page(space, python, tmp_path):
    """Address of the Space, started by `python app.py` in its own folder with nothing of ours around it."""
    folder, endpoint = space
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = CLEAN | {
        "HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": endpoint,
        "GRADIO_SERVER_PORT": str(port)}  # fmt: skip
    with (tmp_path / "space.log").open("wb") as log:
        process = subprocess.Popen([python, "app.py"], cwd=folder, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}/"
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        assert process.poll() is None, (tmp_path / "space.log").read_text()
        try:
            urllib.request.urlopen(url, timeout=5).close()
            break
        except OSError:
            time.sleep(1)
    yield url
    process.terminate()
    process.wait(30)


def test_a_typed_question_is_answered_in_all_three_columns(page):
    with chromium() as browser:
        browser.get(page)
        question = WebDriverWait(browser, 60).until(
            lambda b: b.find_elements(By.CSS_SELECTOR, "#question textarea")
        )[0]  # fmt: skip
        question.send_keys("Which of these can fly?")
        browser.find_element(By.CSS_SELECTOR, "#options textarea").send_keys("a river\nan owl")
        browser.find_element(By.CSS_SELECTOR, "#ask").send_keys(Keys.ENTER)
        WebDriverWait(browser, 300).until(
            lambda b: "Done" in b.find_element(By.CSS_SELECTOR, "#status [role=status]").text
        )
        columns = browser.find_elements(By.CSS_SELECTOR, "#answers .arm")
        assert [column.get_attribute("aria-label") for column in columns] == ["Base", "Teacher", "Student"]
        for column in columns:
            assert column.find_element(By.CSS_SELECTOR, ".choice").text in ("a river", "an owl")
        assert columns[1].find_elements(By.CSS_SELECTOR, ".passages li")
        assert not complaints(browser)
