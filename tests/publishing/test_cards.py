from __future__ import annotations

import ast
import copy
import dataclasses
import re

import jinja2
import pytest
from huggingface_hub import DatasetCard, ModelCard
from markdown_it import MarkdownIt

from publishing.conftest import make_config, make_report
from solo_hub.core.records import Passage, Question, Retrieval
from solo_hub.publishing import cards, facts, frontmatter
from solo_hub.publishing.adapter import adapter_licence
from solo_hub.publishing.adapter_card import AdapterVersion, adapter_card
from solo_hub.publishing.dataset import dataset_licence
from solo_hub.publishing.dataset_card import Change, DatasetVersion, dataset_card
from solo_hub.publishing.documents import PromptExample, rows
from solo_hub.run.resolved import PinnedRepo

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def dataset_text(documents, names, tag="v1", history=None):
    version = DatasetVersion(tag, "v1", history or (Change("v1", 4, 4, 0, 0),))
    return dataset_card(documents, rows(documents), names, dataset_licence(documents), version)


def adapter_text(documents, names):
    return adapter_card(documents, names, adapter_licence(documents), AdapterVersion("v1", "e" * 40, "v1"))


def both(documents, names):
    return {"dataset": dataset_text(documents, names), "model": adapter_text(documents, names)}


def body(card):
    return frontmatter.split(card)[1]


def code_blocks(card):
    return [token.content for token in PARSER.parse(body(card)) if token.type == "fence" and token.info == "python"]


@pytest.fixture(params=["everything", "bare"])
def run(request, documents, bare):
    return documents if request.param == "everything" else bare


def test_cards_render_with_everything_set_and_with_nothing_optional(run, names):
    for kind, card in both(run, names).items():
        assert "\n\n\n" not in card
        assert "None" not in body(card).replace("[:, None]", "")
        assert "Undefined" not in card
        assert not re.search(r"[ \t]\n", card), "trailing blanks"
        data, _ = frontmatter.split(card)
        assert frontmatter.unknown_keys(data, kind) == []


def test_the_hub_client_reads_the_same_metadata(run, names):
    texts = both(run, names)
    model, dataset = ModelCard(texts["model"]), DatasetCard(texts["dataset"])
    assert model.data.base_model == "acme/tiny-instruct"
    assert model.data.library_name == "peft"
    assert model.data.to_dict()["base_model_relation"] == "adapter"
    assert names.dataset in model.data.datasets
    assert dataset.data.to_dict()["configs"][0]["config_name"] == "kept"
    assert dataset.data.to_dict()["configs"] == frontmatter.split(texts["dataset"])[0]["configs"]


def test_code_blocks_compile(run, names):
    for card in both(run, names).values():
        blocks = code_blocks(card)
        assert blocks
        for block in blocks:
            ast.parse(block)


def test_metadata_of_the_full_adapter_card(documents, names):
    data, _ = frontmatter.split(adapter_text(documents, names))
    assert data["datasets"] == [names.dataset, "acme/town", "acme/town-facts"]
    assert (data["license"], data["language"], data["pipeline_tag"]) == ("cc-by-4.0", ["en"], "text-generation")
    assert data["metrics"] == ["accuracy", "rouge", "bertscore"]


def test_model_index_holds_the_reports_own_numbers(documents, names):
    results = ModelCard(adapter_text(documents, names)).data.eval_results
    student = documents.report["arms"]["student"]
    expected = [student[metric]["value"] for metric in facts.METRICS if metric in student]
    assert [result.metric_value for result in results] == expected
    assert {result.dataset_type for result in results} == {"acme/town"}
    assert {(result.dataset_split, result.dataset_revision) for result in results} == {("validation", "b" * 40)}


def test_every_number_of_the_result_table_comes_from_the_report(documents, names):
    """Worked by hand: 0.44816 is 44.8 %, its interval 0.4164 to 0.4803 is 41.6 to 48.0; ROUGE-L 0.30019 is 0.300."""
    text = body(adapter_text(documents, names))
    assert "| Accuracy | 27.3 % (24.6 to 30.3) | 50.1 % (46.9 to 53.3) | 44.8 % (41.6 to 48.0) |" in text
    assert "| ROUGE-L | 0.120 (0.110 to 0.130) | 0.341 (0.320 to 0.360) | 0.300 (0.280 to 0.320) |" in text
    assert "926 held-out questions" in text
    assert "The student closed 77 % (95 % interval 62 to 91 %) of the gap" in text
    assert "of 926 questions, only the student is right on 250, only the base on 88" in text


def test_wrong_answers_are_explained_the_most_frequent_cause_first(documents, names):
    text = body(adapter_text(documents, names))
    assert text.index("| teacher and student wrong | 362 | 70.8 % (66.7 to 74.6) | wrong answers |") < text.index(
        "| teacher right, student not | 149 | 29.2 % (25.4 to 33.3) | wrong answers |"
    )


def test_further_arms_stand_in_the_table_under_their_own_name(documents, names):
    report = make_report()
    report["arms"]["oracle"] = report["arms"]["theirs"] = report["arms"]["teacher"]
    text = body(adapter_text(dataclasses.replace(documents, report=report), names))
    assert (
        "|  | Base | Teacher (base with passages) | **Student (this adapter)** | Oracle (base with gold facts) "
        "| theirs |" in text
    )


def test_a_change_in_the_report_changes_the_card(documents, names):
    report = make_report()
    report["arms"]["student"]["accuracy"]["value"] = 0.5555
    changed = adapter_text(dataclasses.replace(documents, report=report), names)
    assert "55.5 % (41.6" in changed or "55.6 % (41.6" in changed
    assert "44.8 %" not in changed


def test_the_first_sentence_says_that_the_student_is_better(documents, names):
    first = body(adapter_text(documents, names)).split("\n")[3]
    assert first.startswith("The student is better than its base (44.8 % against 27.3 %, n = 926, p &lt; 0.001).")


@pytest.mark.parametrize(
    ("student", "p_value", "sentence"),
    [
        (0.2, 0.001, "The student is not better than its base (20.0 % against 27.3 %, n = 926, p = 0.001)."),
        (0.27321, 1.0, "The student is not better than its base (27.3 % against 27.3 %, n = 926, p = 1.000)."),
        (
            0.3,
            0.05,
            "The student is not significantly better than its base (30.0 % against 27.3 %, n = 926, p = 0.050).",
        ),
    ],
)
def test_the_first_sentence_says_so_where_it_is_not_better(documents, names, student, p_value, sentence):
    report = make_report()
    report["arms"]["student"]["accuracy"]["value"] = student
    report["paired"]["student_vs_base"]["p_value"] = p_value
    assert facts.gain(report) == facts.Gain(False, sentence)
    assert body(adapter_text(dataclasses.replace(documents, report=report), names)).split("\n")[3].startswith(sentence)


def test_only_the_primary_endpoint_is_judged_without_correction():
    """Three comparisons, each with p = 0.03: of the others p = 0.06 remains after Holm's correction."""
    pair = {"n": 100, "only_first": 20, "only_second": 8, "difference": {"value": 0.12, "low": 0.01, "high": 0.23},
            "p_value": 0.03, "p_value_holm": 0.06, "test": "mcnemar_exact"}  # fmt: skip
    report = {"paired": dict.fromkeys(("student_vs_base", "student_vs_teacher"), pair)}
    primary, secondary = facts.paired(report)
    assert primary.startswith("**Student against base (primary endpoint):** +12.0 points")
    assert "Holm" not in primary
    assert secondary.startswith("**Student against teacher:** +12.0 points")
    assert secondary.endswith(
        "after Holm correction for all comparisons of the report, no longer significant: p = 0.060."
    )


def test_a_confidence_is_told_with_what_it_is_worth():
    labels = {
        "mean_confidence": 0.5,
        "calibrated_on": {"views": "model and retrieval"},
        "calibration": {"ece": 0.084, "n": 2000},
    }
    told = facts.label_quality({"labels": labels})[-1]
    assert "50.0 %. It is a heuristic, set without labels to how often model and retrieval agree" in told
    assert told.endswith("its expected calibration error is 0.084 (2,000 labels).")
    assert facts.label_quality({"labels": {"mean_confidence": 0.5}})[-1].endswith("is 50.0 %.")


def test_two_latencies_say_what_they_are():
    """In a batch without looking up, and alone with it: 0.121 and 0.709 s of one arm are no contradiction."""
    report = {
        "arms": {"teacher": {"accuracy": {"value": 1.0}, "seconds_per_question": {"p50": 0.121, "p95": 0.2}}},
        "cost": {"n_questions": 5, "arms": {"teacher": {"latency": {"p50": 0.709, "p95": 0.9}, "memory": {}}}},
    }
    assert "| Seconds per question in a batch, without retrieval, p50 / p95 | 0.121 / 0.2 |" in facts.results(report)
    table, _ = facts.cost(report)
    assert "Seconds per single question, retrieval included, p50 / p95" in table
    assert "0.709 / 0.9" in table


def test_no_comparison_is_no_gain_empty():
    assert facts.gain({}).better is False
    assert "was not compared" in facts.gain({}).sentence


def test_both_cards_name_every_source_at_its_commit(documents, names):
    for card in both(documents, names).values():
        for repo, commit in (
            ("acme/tiny-instruct", "a" * 40),
            ("datasets/acme/town", "b" * 40),
            ("datasets/acme/town-facts", "c" * 40),
        ):
            assert f"(https://huggingface.co/{repo}/tree/{commit})" in card
    texts = both(documents, names)
    assert f"(https://huggingface.co/datasets/{names.dataset}/tree/{'e' * 40})" in texts["model"]
    assert f"(https://huggingface.co/{names.adapter}/tree/v1)" in texts["dataset"]


def test_links_of_a_hub_on_this_machine_start_at_its_root(documents, names):
    config = make_config()
    config["resolved"]["endpoint"] = "http://127.0.0.1:8123"
    for card in both(dataclasses.replace(documents, config=config), names).values():
        assert "(/datasets/acme/town/tree/" in card
        assert "127.0.0.1" not in card
        assert "huggingface.co" not in card


def test_files_stand_in_the_card_by_name_and_hash(documents, names):
    config = make_config(questions={"file": "/home/somebody/mine.csv", "sha256": "0" * 64, "license": None})
    texts = both(dataclasses.replace(documents, config=config), names)
    for card in texts.values():
        assert "somebody" not in card
        assert f"sha256 {'0' * 64}" in card
        assert frontmatter.split(card)[0]["license"] == "unknown"
    assert "acme/town\n" not in texts["model"].split("---")[1]


def test_label_quality_is_called_analysis_and_counted_in_hundreds(documents, names):
    text = body(dataset_text(documents, names))
    assert "Analysis with the gold answers" in text
    assert "36.0 % (33.1 to 39.0) of 1,000 labels are right, so about 64 of 100 are wrong." in text
    assert "| `teacher unsure` | dropped | 1 |" in text


def test_without_known_answers_the_card_says_that_nobody_measured(bare, names):
    assert "the accuracy of the labels has not been measured" in body(dataset_text(bare, names))


def test_the_history_shows_the_publishers_message_as_text(documents, names):
    history = (Change("v2", 5, 1, 0, 2, "<b>fixed</b> | [x](y)"), Change("v1", 4, 4, 0, 0))
    text = body(dataset_text(documents, names, "v2", history))
    assert "| `v2` | 5 | 1 | 0 | 2 | `<b>fixed</b> \\| [x](y)` |" in text
    assert 'revision="v2"' in text


HOSTILE = r"""</code></pre><script>alert(1)</script><img src=x onerror=alert(2)>
[a](javascript:alert(3)) ![b](http://evil.example/p.png)
---
license: mit
---
{{ 1234 * 5678 }} {% for x in y %} {question} {options}
```
```python
import os
```
| `tick` # head "quote" 'single' \n \" \u0022 ''' \"\"\" end
"""


@pytest.fixture
def hostile(documents):
    """Foreign text that attacks the card, in every place where foreign text can stand."""
    question = Question("q1<script>", HOSTILE, (HOSTILE, "b", "c", "d"))
    label = dataclasses.replace(documents.labels[0], question_id=question.id, text=HOSTILE, option=0)
    verdict = dataclasses.replace(documents.verdicts[0], question_id=question.id, reason=HOSTILE)
    passages = (Passage("p1", HOSTILE, 1.0, HOSTILE), Passage("p2", HOSTILE, 0.5))
    report = copy.deepcopy(documents.report)
    report["errors"]["both_wrong"]["text"] = report["errors"]["both_wrong"]["of"] = HOSTILE
    report["arms"][HOSTILE] = report["arms"]["base"]
    report["task"] = report["selection"]["method"] = report["metrics"]["interval"] = HOSTILE
    report["training"]["adapter"] = HOSTILE
    line = " ".join(HOSTILE.splitlines())  # names of repos with control characters are refused when a run is read
    evil = {"repo_id": line, "type": "dataset", "commit": line, "license": "mit", "language": [HOSTILE]}
    config = make_config(questions=evil, knowledge=evil, **{HOSTILE: evil})
    config["resolved"]["libraries"] = {HOSTILE: HOSTILE}
    config["resolved"]["platform"] = config["resolved"]["solo_hub"] = HOSTILE
    config["settings"]["knowledge"]["retriever"] = HOSTILE
    return dataclasses.replace(
        documents,
        config=config,
        report=report,
        questions=(question, *documents.questions[1:]),
        labels=(label, *documents.labels[1:]),
        retrievals=(Retrieval(question.id, passages), *documents.retrievals[1:]),
        verdicts=(verdict, *documents.verdicts[1:]),
        example=PromptExample(
            question, f"Question: {' '.join(HOSTILE.split())}\nAnswer:", HOSTILE, prior=HOSTILE,
            continuations=tuple(f" {option}" for option in question.options), teacher=HOSTILE,
        ),
    )  # fmt: skip


def test_hostile_text_comes_out_as_text(hostile, names):
    for kind, card in both(hostile, names).items():
        data, text = frontmatter.split(card)
        assert frontmatter.unknown_keys(data, kind) == []
        assert data["license"] == "apache-2.0"
        tokens = PARSER.parse(text)
        inner = [child for token in tokens if token.type == "inline" for child in token.children]
        assert not {token.type for token in tokens} & {"html_block", "code_block", "hr"}
        assert not {child.type for child in inner} & {"html_inline", "image"}
        for child in inner:
            if child.type == "link_open":
                assert re.match(r"https://huggingface\.co/|https://arxiv\.org/", child.attrs["href"])
        # The template was not run again over what it printed.
        assert "{{ 1234 * 5678 }}" in text
        assert "7006652" not in "".join(child.content for child in inner)
        headings = [tokens[index + 1].content for index, token in enumerate(tokens) if token.type == "heading_open"]
        assert all("head" not in heading.split(" ")[:1] for heading in headings)
        assert ModelCard(card).data.to_dict()["license"] == "apache-2.0"
        assert DatasetCard(card).data.to_dict()["license"] == "apache-2.0"


def test_hostile_text_stays_inside_its_literals(hostile, names):
    for block in code_blocks(adapter_text(hostile, names)):
        tree = ast.parse(block)
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert imported <= {"torch"}


def test_a_template_that_names_something_unknown_fails_loudly(monkeypatch, tmp_path):
    (tmp_path / "x.jinja").write_text("{{ misspelt }}")
    environment = cards._environment().overlay(loader=jinja2.FileSystemLoader(tmp_path))
    monkeypatch.setattr(cards, "_environment", lambda: environment)
    with pytest.raises(jinja2.UndefinedError, match="misspelt"):
        cards.render("x.jinja", {"license": "mit"}, "model", {})


def test_size_tags_follow_the_number_of_rows(documents, names):
    assert frontmatter.split(dataset_text(documents, names))[0]["size_categories"] == ["n<1K"]
    assert [facts.size_category(count) for count in (0, 1_000, 99_999, 10**9)] == [
        "n<1K",
        "1K<n<10K",
        "10K<n<100K",
        "100M<n<1B",
    ]


def test_languages_the_hub_would_refuse_are_left_out():
    """ISO 639 codes, and what the Hub takes besides; a card with anything else cannot be pushed."""
    origins = (
        PinnedRepo(repo_id="a/q", type="dataset", commit="1" * 40, language=("en", "deu", "pt-BR")),
        PinnedRepo(repo_id="a/k", type="dataset", commit="2" * 40, language=("English", "code")),
    )
    assert cards.languages(origins) == ["code", "deu", "en"]
    assert cards.languages(()) == []


def test_memory_latency_and_what_was_lost_stand_in_the_card(documents, names):
    interval = {"value": 1.0213, "low": 1.001, "high": 1.042}
    report = {
        **documents.report,
        "cost": {
            "n_questions": 30,
            "conditions": {"batch_size": 1, "device": "cpu", "dtype": "float32", "threads": 1},
            "arms": {
                "base": {"latency": {"p50": 0.1234, "p95": 0.2}, "memory": {"model": 5.4e8, "peak": 1.25e9}},
                "student": {"latency": {"p50": 0.13, "p95": 0.21}, "memory": {"model": 5.6e8, "peak": 1.3e9}},
            },
        },
        "forgetting": {
            "text": {"ratio": interval},
            "second_task": {
                "student_vs_base": {
                    "n": 400,
                    "p_value": 0.31,
                    "difference": {"value": -0.01, "low": -0.03, "high": 0.01},
                }
            },
        },
    }
    text = adapter_text(dataclasses.replace(documents, report=report), names)
    assert "| Base | 0.123 / 0.2 | 0.54 | 1.25 |" in text
    assert "| **Student (this adapter)** | 0.13 / 0.21 | 0.56 | 1.30 |" in text
    assert "Measured on 30 questions, one at a time, on cpu, float32, 1 thread;" in text
    assert "student over base: 1.021 (95 % interval 1.001 to 1.042); above 1 is worse." in text
    assert "student minus base: -1.0 points (95 % interval -3.0 to +1.0), n = 400, p = 0.310." in text
    plain = adapter_text(documents, names)
    assert "Memory and latency" not in plain
    assert "lost elsewhere" not in plain


def own_terms(link):
    """A base under terms of its own, as research licences of models are stated."""
    return {
        "repo_id": "acme/base",
        "type": "model",
        "revision": "main",
        "commit": "a" * 40,
        "license": "other",
        "license_name": "acme-research",
        "license_link": link,
        "language": ["de"],
    }


@pytest.mark.parametrize(
    ("link", "stated"),
    [
        ("https://example.org/terms", "https://example.org/terms"),
        ("LICENSE", f"https://huggingface.co/acme/base/blob/{'a' * 40}/LICENSE"),
        ("javascript:alert(1)", f"https://huggingface.co/acme/base/blob/{'a' * 40}/javascript:alert(1)"),
        (None, "LICENSE.md"),
    ],
)
def test_a_licence_without_an_identifier_keeps_its_name_and_link(documents, names, link, stated):
    config = make_config(base=own_terms(link))
    config["resolved"]["repos"]["questions"]["license"] = "apache-2.0"
    changed = dataclasses.replace(documents, config=config)
    for card in both(changed, names).values():
        data = frontmatter.split(card)[0]
        assert (data["license"], data["license_name"], data["license_link"]) == ("other", "acme-research", stated)
        assert "other: [`acme-research`]" in card or link is None
    text = cards.licence_file(adapter_licence(changed), "adapter")
    assert "acme-research" in text


def test_the_bases_languages_count_where_the_data_state_none(documents, names):
    config = make_config(base=own_terms(None))
    card = adapter_text(dataclasses.replace(documents, config=config), names)
    assert frontmatter.split(card)[0]["language"] == ["en"]
    del config["resolved"]["repos"]["questions"]["language"]
    changed = dataclasses.replace(documents, config=config)
    for card in both(changed, names).values():
        assert frontmatter.split(card)[0]["language"] == ["de"]
