"""The embedded Hub's pages of published repos in headless Chromium: hostile text is text, wide and on a phone."""

from __future__ import annotations

import pytest
from chromium import chromium, complaints, content_width, picture, resize
from selenium.webdriver.common.by import By

from publishing.test_cards import HOSTILE, hostile  # noqa: F401 - the fixture of foreign text that attacks
from solo_hub.hub.client import HubClient
from solo_hub.publishing.naming import repo_names
from solo_hub.publishing.publication import Folders, publish

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::Warning")]


@pytest.fixture(scope="module")
def browser():
    with chromium() as made:
        yield made


@pytest.fixture
def pages(hostile, tmp_path):  # noqa: F811 - the fixture imported above
    """Addresses of a published adapter and dataset whose texts attack the page."""
    embedded = pytest.importorskip("solo_hub.hub.server.server")
    log = [{"step": step, "loss": 1 / step} for step in range(1, 30)]
    (hostile.adapter / "training.json").write_text(f'{{"log": {str(log).replace(chr(39), chr(34))}}}')
    with embedded.EmbeddedHub(tmp_path / "hub", remember=False) as hub:
        door = HubClient(hub.endpoint, hub.token, tmp_path / "cache")
        names = repo_names(hub.user, "town", "acme/tiny-instruct")
        folders = Folders(tmp_path / "7-dataset", tmp_path / "7-adapter")
        done = publish(hostile, folders, names, door.push, latest=door.latest)
        yield {kind: entry["url"] for kind, entry in done.items()}


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_text_is_text_on_the_page(browser, pages, width):
    for kind, url in pages.items():
        resize(browser, width)
        browser.get(url)
        card = browser.find_element(By.CSS_SELECTOR, ".card")
        # an alert would have made the lines above fail; every script and image is the page's own
        assert not card.find_elements(By.CSS_SELECTOR, "script, iframe, object, form, [onerror]")
        places = [link.get_attribute("href") for link in card.find_elements(By.TAG_NAME, "a")]
        assert not [place for place in places if place and place.startswith("javascript:")]
        images = [image.get_attribute("src") for image in card.find_elements(By.TAG_NAME, "img")]
        assert [image.rsplit("/", 1)[-1] for image in images] == (["training-curve.svg"] if kind == "adapter" else [])
        text = " ".join(card.get_attribute("textContent").split())
        for line in ("<script>alert(1)</script><img src=x onerror=alert(2)>", "{{ 1234 * 5678 }} {% for x in y %}"):
            assert line in HOSTILE
            assert line in text
        assert "7006652" not in text
        assert content_width(browser) <= width
        if kind == "adapter":
            browser.execute_script("document.images[0].loading = 'eager'")
            drawn = (
                "return (async () => { await document.images[0].decode(); return document.images[0].naturalWidth })()"
            )
            assert browser.execute_script(drawn) == 680
        picture(browser, f"hub-{kind}-{width}")
        assert not [entry for entry in complaints(browser) if "favicon" not in entry["message"]]
