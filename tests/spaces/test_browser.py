"""The page in headless Chromium: by keyboard alone, on a screen and on a phone, without a word in the console."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from chromium import chromium, complaints, content_width, faint, outline, picture, requested, resize, unnamed
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_spec("gradio") is None, reason="the extra 'space' is not installed"),  # 2 s to import
    pytest.mark.filterwarnings("ignore::Warning"),  # of gradio, its server and their threads
]
SECONDS = 30


@pytest.fixture(scope="module")
def browser():
    with chromium() as made:
        yield made


@pytest.fixture
def page(comparison):
    """Address of the page."""
    from solo_hub.publishing.space import load_app

    comparison.prepare()
    app = load_app()
    demo = app.build(comparison)
    demo.close()  # never launched: only that it can be built twice
    _, url, _ = app.serve(comparison, server_name="127.0.0.1", prevent_thread_lock=True)
    yield url
    import gradio

    gradio.close_all()


def wait(browser, condition):
    return WebDriverWait(browser, SECONDS).until(condition)


def focused(browser):
    return browser.switch_to.active_element


def tab_to(browser, selector, presses=25):
    """Press Tab until an element has the focus."""
    wanted = browser.find_element(By.CSS_SELECTOR, selector)
    for _ in range(presses):
        if focused(browser) == wanted:
            return wanted
        ActionChains(browser).send_keys(Keys.TAB).perform()
    raise AssertionError(f"{selector} is not reached by Tab")


def test_by_keyboard_wide_and_on_a_phone(browser, page):
    resize(browser, 1280, 900)
    browser.get(page)
    wait(browser, lambda b: b.find_elements(By.CSS_SELECTOR, "#question textarea"))

    # a question of the evaluation fills both fields; nothing is asked until the button is pressed
    tab_to(browser, "#pick select").send_keys(Keys.ARROW_DOWN)
    question, options = (browser.find_element(By.CSS_SELECTOR, f"#{name} textarea") for name in ("question", "options"))
    wait(browser, lambda b: question.get_property("value") == "Which animal sleeps all winter?")
    assert options.get_property("value") == "the bear\nthe river"
    browser.find_element(By.CSS_SELECTOR, "#pick select").send_keys(Keys.ARROW_UP)
    wait(browser, lambda b: question.get_property("value") == options.get_property("value") == "")

    # ask, with the keyboard alone, in the order of the page
    tab_to(browser, "#question textarea").send_keys("Which animal <b>sleeps</b> in caves?")
    tab_to(browser, "#options textarea").send_keys("the bear\nthe river")
    tab_to(browser, "#ask").send_keys(Keys.ENTER)
    status = wait(browser, lambda b: b.find_element(By.CSS_SELECTOR, "#status [role=status]"))
    wait(browser, lambda b: "Done" in status.text)
    columns = browser.find_elements(By.CSS_SELECTOR, "#answers .arm")
    assert [c.get_attribute("aria-label") for c in columns] == ["Base", "Teacher", "Student"]
    for column in columns:
        assert column.find_element(By.CSS_SELECTOR, ".choice").text in ("the bear", "the river")
        assert len(column.find_elements(By.CSS_SELECTOR, ".options li")) == 2
        assert "s" in column.find_element(By.CSS_SELECTOR, ".time").text
    assert "The bear of the north sleeps in caves." in columns[1].text
    assert columns[1].find_elements(By.CSS_SELECTOR, ".passages mark.in-question")
    assert "<b>sleeps</b>" in browser.find_element(By.CSS_SELECTOR, "#answers h2").text
    tops = [c.rect["y"] for c in columns]
    assert tops[0] == tops[1] == tops[2]  # side by side
    picture(browser, "wide")

    # what cannot be asked is told where the answer would stand
    options = tab_to(browser, "#options textarea", 40)
    options.send_keys(Keys.CONTROL + "a", Keys.CONTROL)
    options.send_keys("only one")
    browser.find_element(By.CSS_SELECTOR, "#ask").send_keys(Keys.ENTER)
    wait(browser, lambda b: "only one option" in b.find_element(By.CSS_SELECTOR, "#answers").text)
    assert browser.find_elements(By.CSS_SELECTOR, "#answers [role=alert]")

    # wins and losses; the third question is hostile and stays text
    resize(browser, 390, 844)
    wins = next(t for t in browser.find_elements(By.CSS_SELECTOR, "[role=tab]") if "Wins" in t.text)
    wins.send_keys(Keys.ENTER)
    case = wait(browser, lambda b: b.find_element(By.CSS_SELECTOR, "#cases .case summary"))
    wait(browser, lambda b: case.is_displayed())
    case.send_keys(Keys.ENTER)
    opened = browser.find_elements(By.CSS_SELECTOR, "#cases .case .arm")
    wait(browser, lambda b: all(column.is_displayed() for column in opened))
    assert opened[0].rect["y"] < opened[1].rect["y"] < opened[2].rect["y"]  # one below the other
    picture(browser, "phone")
    browser.find_element(By.CSS_SELECTOR, "#group input[value=all]").send_keys(Keys.SPACE)
    wait(browser, lambda b: "${value} {{value}} `x` @children" in b.find_element(By.CSS_SELECTOR, "#cases").text)
    assert not browser.find_elements(By.CSS_SELECTOR, "#cases img")
    assert content_width(browser) <= 390

    # every field has a name a screen reader can say
    for field in browser.find_elements(By.CSS_SELECTOR, "textarea, input, button[id]"):
        assert field.accessible_name or not field.is_displayed(), field.get_attribute("outerHTML")
    assert not complaints(browser)
    assert not [url for url in set(requested(browser)) if not url.startswith((page, "data:", "blob:"))]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_for_a_screen_reader_and_weak_eyes(browser, page, width, theme):
    resize(browser, width, 900)
    browser.get(f"{page}?__theme={theme}")
    wait(browser, lambda b: b.find_elements(By.CSS_SELECTOR, "#question textarea"))
    browser.find_element(By.CSS_SELECTOR, "#question textarea").send_keys("Which animal sleeps in caves?")
    browser.find_element(By.CSS_SELECTOR, "#options textarea").send_keys("the bear\nthe river")
    browser.find_element(By.CSS_SELECTOR, "#ask").send_keys(Keys.ENTER)
    wait(browser, lambda b: "Done" in b.find_element(By.CSS_SELECTOR, "#status [role=status]").text)
    assert unnamed(browser) == []
    assert faint(browser) == []
    assert outline(browser) == [1, 2, 3, 3, 3]  # the page, the question, the three that answered
    regions = [s.accessible_name for s in browser.find_elements(By.CSS_SELECTOR, "#answers section")]
    assert regions == ["Base", "Teacher", "Student"]
    picture(browser, f"space-{width}-{theme}")

    next(t for t in browser.find_elements(By.CSS_SELECTOR, "[role=tab]") if "Wins" in t.text).send_keys(Keys.ENTER)
    case = wait(browser, lambda b: b.find_element(By.CSS_SELECTOR, "#cases .case summary"))
    wait(browser, lambda b: case.is_displayed())
    case.send_keys(Keys.ENTER)
    assert unnamed(browser) == []
    assert faint(browser) == []
    assert content_width(browser) <= width
    picture(browser, f"space-cases-{width}-{theme}")
