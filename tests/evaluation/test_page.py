"""The page holds everything it shows, loads nothing, and cannot be broken by the texts in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from solo_hub.core.records import Gold, Passage, Prediction, PseudoLabel, Question, Retrieval
from solo_hub.evaluation.finished_run import Evaluated
from solo_hub.evaluation.label_quality import over_training, summarise_labels
from solo_hub.evaluation.report.page import ReportData, render_html, write_html
from solo_hub.evaluation.report.report import build_report
from solo_hub.evaluation.statistics.side_by_side import compare, write_page
from solo_hub.run.resolved import Resolved

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}\u2028&amp;"


class Page(HTMLParser):
    """Tags with their attributes, and the content of scripts by id."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts[-1] += data
        elif self.inside != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


LOG = [
    {"step": 1, "loss": 2.0, "batch": 4, "kept": 1, "confidence_threshold": 0.9, "uncertainty_threshold": 0.4,
     "examples": [0, 1, 2, 3], "kept_examples": [0]},
    {"step": 2, "loss": 1.0, "batch": 4, "kept": 3, "confidence_threshold": 0.7, "uncertainty_threshold": None,
     "examples": [0, 1, 4, 5], "kept_examples": [1, 4, 5]},
]  # fmt: skip
SHARE = {"value": 0.5, "low": 0.3, "high": 0.7, "n": 20}
FORGETTING = {
    "text": {"source": "ours", "texts": 4, "tokens": 200, "perplexity": {"base": 20.0, "student": 24.0},
             "ratio": {"value": 1.2, "low": 1.1, "high": 1.3, "n": 4}},
    "second_task": {"source": "ours too", "n_questions": 20, "arms": {"base": SHARE, "student": SHARE},
                    "student_vs_base": {"n": 20, "only_first": 2, "only_second": 2, "p_value": 1.0,
                                        "difference": {"value": 0.0, "low": -0.1, "high": 0.1, "n": 20}}},
}  # fmt: skip
COST = {
    "n_questions": 3,
    "conditions": {"batch_size": 1, "device": "cpu", "dtype": "float32", "threads": 1, "cores": 2, "load": 0.5},
    "arms": {
        arm: {"latency": {"p50": 0.1 * n, "p95": 0.2 * n}, "lookup": 0.05 * (n - 1), "prompt_tokens": 20.0 * n,
              "written_tokens": 4.0, "memory": {"libraries": 300_000_000, "model": 500_000_000,
                                                "knowledge": 200_000_000 * (n - 1), "peak": 1_200_000_000 * n}}
        for arm, n in (("base", 1), ("teacher", 2), ("student", 1))
    },
}  # fmt: skip


@pytest.fixture
def report(questions, golds, predictions, retrievals, settings):
    labels = [
        PseudoLabel(f"q{i}", gold.option, None, "x", 0.15 * i, (), 0, "text", "k") for i, gold in enumerate(golds)
    ]
    document = build_report(questions, golds, predictions, settings=settings, seed=0, retrievals=retrievals)
    return {
        **document,
        "run": "try",
        "seed": 0,
        "base": "some/model",
        "task": "qasc",
        "labels": summarise_labels(labels, golds),
        "selection": {
            "method": "llkd",
            "kept": 6,
            "dropped": 0,
            "accuracy_kept": None,
            "accuracy_dropped": None,
            "over_training": over_training(LOG, labels, golds),
        },
        "training": {"examples": 6, "steps": 3, "final_loss": 0.5},
        "forgetting": FORGETTING,
        "cost": COST,
        "map": {"method": "pca", "n": 2, "embedder": "e", "original": [[0, 0.5], [1, 1]], "pseudo": [[0, 0.5], [1, 0]]},
    }


@pytest.fixture
def config():
    repo = {"repo_id": "some/model", "type": "model", "revision": "main", "commit": "c" * 40, "license": None}
    return {"config_version": 1, "settings": {"seed": 0}, "resolved": {"solo_hub": "0.1", "repos": {"base": repo}}}


@pytest.fixture
def page(config, report, questions, golds, predictions, retrievals):
    log = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]
    story = ReportData(config, report, questions, golds, predictions, retrievals=retrievals, training_log=log)
    return render_html(story)


def test_tells_the_story(page):
    text = Page(page).text
    assert "Neither yet: no gain is clear" in text  # 4 against 2 of 6 proves nothing
    for piece in (
        "33.3 %",
        "66.7 %",
        "c" * 40,
        "not stated",
        "2 : 0",
        "p = 0.500",
        "Training loss",
        "solo-hub distill",
        "a factor of 1.200 (1.100 to 1.300)",
        "On general text the student is worse than its base",
        "2.40 GB",
        "principal components",
        "load was 0.5 on 2 cores",
    ):
        assert piece in text, piece
    headings = ["Way to answer", "Result", "Is it real?", "What it learned from", "What it lost elsewhere",
                "What an answer costs", "Where it fails", "Made with", "How to reproduce it"]  # fmt: skip
    places = [text.index(heading) for heading in headings]
    assert places == sorted(places)


def test_a_number_stays_with_its_percent_sign(page):
    """In the headline and the paragraph after it, which wrap on a phone."""
    opening = page[page.index("<h1>") : page.index("</p>", page.index("</h1>"))]
    assert "\u202f%" in opening
    assert not re.search(r"\d %", opening)


def test_a_repo_in_two_roles_is_one_row(config, report, questions, golds, predictions):
    repos = config["resolved"]["repos"]
    repos["embedder"] = repos["base"]
    repos["questions"] = {"file": "mine.jsonl", "sha256": "5a" * 32, "license": None}
    page = render_html(ReportData(config, report, questions, golds, predictions))
    text = Page(page).text
    assert "base, embedder some/model" in text
    assert f"questions mine.jsonl {'5a' * 32}" in text


def test_loads_nothing(page):
    parsed = Page(page)
    outside = [
        (tag, attrs) for tag, attrs in parsed.tags if {"src", "href", "srcset", "action", "poster"} & attrs.keys()
    ]
    assert outside == []
    assert not re.search(r"url\((?!#)|@import|@font-face", page)
    policy = next(a["content"] for t, a in parsed.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_the_policy_allows_exactly_our_script(page):
    parsed = Page(page)
    data, script = parsed.scripts
    assert json.loads(data)["total"] == 6
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in page


def test_untrusted_text_stays_text(config, report, settings):
    questions = [Question(f"{EVIL}{i}", EVIL, (EVIL, "b")) for i in range(2)]
    golds = [Gold(question.id, 1, "b", (EVIL,)) for question in questions]
    predictions = {
        arm: [Prediction(question.id, arm, 0, (0.9, 0.1), EVIL, (EVIL,)) for question in questions]
        for arm in ("base", "teacher", "student")
    }
    retrievals = [Retrieval(question.id, (Passage(EVIL, EVIL, 1.0, EVIL),)) for question in questions]
    document = build_report(questions, golds, predictions, settings=settings, seed=0, retrievals=retrievals)
    config["settings"]["name"] = EVIL
    config["resolved"]["repos"]["base"]["license"] = EVIL
    document |= {"run": EVIL, "base": EVIL, "task": EVIL}
    page = render_html(ReportData(config, document, questions, golds, predictions, retrievals=retrievals))
    parsed = Page(page)
    assert len(parsed.scripts) == 2
    assert [tag for tag, _ in parsed.tags if tag == "img"] == []
    row = json.loads(parsed.scripts[0])["questions"][0]
    assert row["question"] == row["options"][0] == row["answers"]["base"]["text"] == EVIL  # and nothing of it is lost
    assert "49" not in parsed.text


def test_list_holds_what_went_wrong_first(page, monkeypatch, config, report, questions, golds, predictions):
    monkeypatch.setattr("solo_hub.evaluation.report.page.LISTED", 3)
    page = render_html(ReportData(config, report, questions, golds, predictions))
    parsed = Page(page)
    assert [row["id"] for row in json.loads(parsed.scripts[0])["questions"]] == ["q3", "q4", "q5"]
    assert "The list holds 3 of 6 questions" in parsed.text


def test_written_whole_and_the_same_twice(tmp_path, config, report, questions, golds, predictions):
    for name in ("a.html", "b.html"):
        write_html(tmp_path / name, ReportData(config, report, questions, golds, predictions))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_report_of_an_older_version(config, report, questions, golds, predictions):
    """Without cost, forgetting and map there are no such sections, and times are shares of a batch."""
    for name in ("forgetting", "cost", "map"):
        report.pop(name)
    report["selection"].pop("over_training")
    for arm in report["arms"].values():
        arm.pop("prompt_tokens")
        arm.pop("written_tokens")
    text = Page(render_html(ReportData(config, report, questions, golds, predictions))).text
    assert "its share of a batch" in text
    assert "What it lost elsewhere" not in text
    assert "Peak memory" not in text


def test_tells_what_the_teacher_is_made_of(config, report, questions, golds, predictions):
    share = lambda value: {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 4}  # noqa: E731
    told = {
        **report,
        "labels": {
            **(report.get("labels") or {"n": 4, "style": "text", "mean_confidence": 0.5, "accuracy": None,
                                        "passages_dropped": 0, "calibration": None}),
            "filters": {"unparsed": 2, "leakage": 0, "min_confidence": 1, "dropped": 3},
            "calibrated_on": {"views": "model and retrieval", "agreement": 0.5, "n": 192},
            "calibration_before": 0.278,
        },
        "teacher_parts": {"n": 4, "weight": 1.0, "model": share(0.5), "retrieval": share(0.6), "together": share(0.7)},
    }  # fmt: skip
    text = Page(render_html(ReportData(config, told, questions, golds, predictions))).text
    assert re.search(r"Filters dropped 3 of them first \( ?unparsed 2, min_confidence 1; a label", text)
    assert "Confidence is a heuristic: without labels, its mean is set to how often model and retrieval agree" in text
    assert "retrieval alone, without a language model" in text


def test_one_arm_and_free_text_need_nothing_else(config, settings):
    questions, golds = [Question("q", "Why?")], [Gold("q", None, "because")]
    predictions = {"base": [Prediction("q", "base", None, None, "no idea")]}
    report = build_report(questions, golds, predictions, settings=settings, seed=0)
    page = render_html(ReportData(config, report, questions, golds, predictions))
    assert "1 question answered by base" in Page(page).text


@pytest.mark.browser
@pytest.mark.filterwarnings("ignore::ResourceWarning")
class TestInABrowser:
    @pytest.fixture(scope="class")
    def driver(self):
        from chromium import chromium

        with chromium() as browser:
            yield browser

    def look(self, driver, file, width, scheme):
        """Open a page; it asks for nothing but itself, complains of nothing, and is no wider than the window."""
        from chromium import content_width, requested, resize

        resize(driver, width)
        driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        requested(driver)
        driver.get(file.as_uri())
        assert requested(driver) == [file.as_uri()]
        assert driver.get_log("browser") == []
        assert content_width(driver) <= width

    @pytest.mark.parametrize("width", [390, 1200])
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_two_runs_side_by_side(self, driver, tmp_path, questions, report, width, scheme):
        right = {arm: np.array([1.0, 0, 1, 0, 1, n]) for n, arm in enumerate(("base", "student_with_passages"))}
        arms = {arm: {"accuracy": SHARE} for arm in right}
        one, two = (
            Evaluated(name, {"name": name}, Resolved(repos={}), {"arms": arms}, (*questions,), right)
            for name in ("a-run-with-a-rather-long-name", "another")
        )
        write_page(tmp_path / "both.html", compare(one, two))
        self.look(driver, tmp_path / "both.html", width, scheme)
        assert driver.execute_async_script(OVERLAPS) == []

    @pytest.mark.parametrize("width", [390, 1200])
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_fits_asks_nothing_and_can_be_browsed(self, driver, tmp_path, page, width, scheme):
        from chromium import content_width

        file = tmp_path / "report.html"
        file.write_text(page, "utf-8")
        self.look(driver, file, width, scheme)
        assert (
            driver.execute_script("return document.querySelectorAll('details.question').length") == 2
        )  # the wrong ones
        driver.execute_script(
            "const cause = document.getElementById('cause'); cause.value = ''; cause.dispatchEvent(new Event('change'))"
        )
        assert driver.execute_script("return document.querySelectorAll('details.question').length") == 6
        choose = "const arm = document.getElementById('arm'); arm.value = %r; arm.dispatchEvent(new Event('change'))"
        driver.execute_script(choose % "teacher:wrong")
        assert driver.execute_script("return document.querySelectorAll('details.question').length") == 2
        driver.execute_script(choose % "")
        driver.execute_script("document.querySelectorAll('details').forEach((item) => { item.open = true })")
        assert driver.execute_async_script(OVERLAPS) == []
        assert content_width(driver) <= width


# Pairs of sibling boxes with text in them that overlap by more than a pixel.
OVERLAPS = """
const done = arguments[0];
setTimeout(() => {
  const found = [];
  for (const parent of document.querySelectorAll("main, main *:not(svg):not(svg *)")) {
    const boxes = [...parent.children].filter((node) => node.tagName !== "OPTION" && node.textContent.trim())
      .map((node) => [node, node.getBoundingClientRect()]).filter(([, box]) => box.width && box.height);
    for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length; j++) {
      const [a, b] = [boxes[i][1], boxes[j][1]];
      if (getComputedStyle(boxes[i][0]).display === "inline" || getComputedStyle(boxes[j][0]).display === "inline")
      continue; const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > 1 && high > 1) found.push(`${boxes[i][0].textContent.slice(0, 40)} | ${boxes[j][0].textContent.slice(0,
      40)}`);
    }
  }
  done(found);
}, 300);
"""
