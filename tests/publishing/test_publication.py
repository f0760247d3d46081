from __future__ import annotations

import copy
import dataclasses
import json
import shutil

import pytest

from publishing.conftest import folder_bytes, make_adapter, make_config
from publishing.fake_hub import FakeHub
from solo_hub.core.errors import ConflictError, HubError, InputError, ModelError, SoloHubError
from solo_hub.publishing import frontmatter
from solo_hub.publishing.publication import Folders, NoGainError, publish, require_gain


@pytest.fixture
def hub(tmp_path):
    return FakeHub(tmp_path / "hub")


@pytest.fixture
def folders(tmp_path):
    return Folders(tmp_path / "7-dataset", tmp_path / "7-adapter")


@pytest.fixture
def run(documents, folders, names, hub):
    """Publish as the pipeline does; changes to the run or the call are given by name."""

    def call(changed=documents, **options):
        return publish(changed, folders, names, hub.push, latest=hub.latest, **options)

    return call


def relabelled(documents, text="rain"):
    """A run in which one label changed, one went and one came."""
    first, _, third, fourth = documents.labels
    new = dataclasses.replace(documents.questions[1], id="q5")
    return dataclasses.replace(
        documents,
        questions=(*documents.questions, new),
        retrievals=(*documents.retrievals, dataclasses.replace(documents.retrievals[1], question_id="q5")),
        labels=(dataclasses.replace(first, text=text), third, fourth, dataclasses.replace(fourth, question_id="q5")),
        verdicts=(*documents.verdicts, dataclasses.replace(documents.verdicts[0], question_id="q5")),
    )


def test_the_dataset_goes_first_and_the_adapter_names_its_commit(run, hub, names, folders):
    document = run(message="first try", private=True)
    assert [(repo, private) for repo, _, _, private in hub.pushes] == [(names.dataset, True), (names.adapter, True)]
    assert [message for _, _, message, _ in hub.pushes] == ["v1: first try", "v1: first try"]
    assert set(document) == {"dataset", "adapter"}
    assert set(document["dataset"]) == {"repo_id", "type", "commit", "tag", "url"}
    assert (document["dataset"]["type"], document["adapter"]["type"]) == ("dataset", "model")
    card = (folders.adapter / "README.md").read_text()
    assert f"/datasets/{names.dataset}/tree/{document['dataset']['commit']}" in card
    assert "0" * 40 not in card
    assert f"/{names.adapter}/tree/v1" in (folders.dataset / "README.md").read_text()


def test_disk_and_hub_hold_the_same_bytes(run, hub, names, folders):
    run()
    for name, folder in ((names.dataset, folders.dataset), (names.adapter, folders.adapter)):
        published = folder_bytes(hub.root / hub.head[name])
        published.pop(".gitattributes")
        assert published == folder_bytes(folder)


def test_the_same_content_pushes_nothing_and_stays_the_same_version(run, hub):
    first = run(message="first")
    assert run(message="second") == first
    assert run() == first
    assert len(hub.pushes) == 2


def test_over_another_run_is_only_published_when_confirmed(run, hub, documents):
    run()
    asked = []
    questions = tuple(dataclasses.replace(question, text=f"Other: {question.text}") for question in documents.questions)
    other = dataclasses.replace(documents, questions=questions)
    with pytest.raises(InputError, match=r"town-tiny-instruct-pseudo-labels' holds another run: none of its questions"):
        run(other, confirm=asked.append)
    assert len(asked) == 1
    assert len(hub.pushes) == 2  # of the first run
    assert run(other, confirm=lambda _: True)["dataset"]["tag"] == "v2"

    config = copy.deepcopy(documents.config)
    config["settings"]["name"] = "village"
    renamed = dataclasses.replace(other, config=config)
    with pytest.raises(InputError, match="solo-adapter' holds another run: it was made by the run 'town'"):
        run(renamed, confirm=lambda _: False)
    run(other, confirm=pytest.fail)  # the same run again asks nothing


def test_changed_labels_make_the_next_version_with_a_history(run, hub, documents, folders):
    run()
    document = run(relabelled(documents), message="rain it is")
    assert (document["dataset"]["tag"], document["adapter"]["tag"]) == ("v2", "v2")
    history = json.loads((folders.dataset / "provenance.json").read_text())["history"]
    assert history == [
        {"tag": "v2", "rows": 4, "added": 1, "removed": 1, "changed": 1, "message": "rain it is"},
        {"tag": "v1", "rows": 4, "added": 4, "removed": 0, "changed": 0, "message": ""},
    ]
    card = (folders.dataset / "README.md").read_text()
    assert "| `v2` | 4 | 1 | 1 | 1 | `rain it is` |" in card
    assert 'revision="v2"' in card
    assert len(hub.pushes) == 4
    assert run(relabelled(documents)) == document


def test_a_new_adapter_on_the_same_labels_leaves_the_dataset_alone(run, hub, documents, folders, names):
    first = run()
    report = copy.deepcopy(documents.report)
    report["arms"]["student"]["accuracy"]["value"] = 0.46
    config = make_config(
        bert_score_model={"repo_id": "acme/other", "type": "model", "commit": "d" * 40, "license": "mit"}
    )
    config["settings"]["name"], config["settings"]["student"]["rank"] = "another-run", 8
    second = run(dataclasses.replace(documents, report=report, config=config))
    assert second["dataset"] == first["dataset"]
    assert second["adapter"]["tag"] == "v2"
    assert [repo for repo, *_ in hub.pushes] == [names.dataset, names.adapter, names.adapter]
    assert 'revision="v2"' in (folders.adapter / "README.md").read_text()


@pytest.mark.parametrize("broken", ["zero adapter", "licence", "secret", "row", "nothing kept"])
def test_nothing_is_pushed_unless_both_folders_are_whole(run, hub, documents, tmp_path, broken):
    first, *rest = documents.labels
    changed = {
        "zero adapter": lambda: dataclasses.replace(documents, adapter=make_adapter(tmp_path / "zero", zero=True)),
        "licence": lambda: dataclasses.replace(
            documents, config=make_config(base={**make_config()["resolved"]["repos"]["base"], "license": "cc-by-nd"})
        ),
        # Stands in the adapter's folder alone.
        "secret": lambda: dataclasses.replace(documents, report={**documents.report, "note": "hf_" + "aB3" * 12}),
        "row": lambda: dataclasses.replace(documents, labels=(dataclasses.replace(first, passages=("p9",)), *rest)),
        "nothing kept": lambda: dataclasses.replace(
            documents, verdicts=tuple(dataclasses.replace(verdict, kept=False) for verdict in documents.verdicts)
        ),
    }[broken]()  # fmt: skip
    with pytest.raises((InputError, ModelError)):
        run(changed)
    assert hub.pushes == []


def test_a_push_that_failed_in_the_middle_is_completed_by_the_next(run, hub, names):
    hub.fail_on = "model"
    with pytest.raises(HubError, match="went away"):
        run()
    assert [repo for repo, *_ in hub.pushes] == [names.dataset]
    hub.fail_on = None
    document = run()
    assert [repo for repo, *_ in hub.pushes] == [names.dataset, names.adapter]
    assert (document["dataset"]["tag"], document["adapter"]["tag"]) == ("v1", "v1")


def test_without_gain_nothing_is_pushed_and_the_sentence_names_the_way_out(run, hub, documents):
    report = copy.deepcopy(documents.report)
    report["paired"]["student_vs_base"]["p_value"] = 0.2
    worse = dataclasses.replace(documents, report=report)
    with pytest.raises(
        NoGainError,
        match=r"not significantly better .* Nothing was published.* --allow-no-gain .*publish\.allow_no_gain",
    ) as refused:
        run(worse)
    assert isinstance(refused.value, SoloHubError)
    assert refused.value.exit_code == 1
    assert hub.pushes == []
    run(worse, allow_no_gain=True)
    assert len(hub.pushes) == 2


def test_a_student_that_is_worse_is_refused_whatever_the_p_value(documents):
    report = copy.deepcopy(documents.report)
    report["arms"]["student"]["accuracy"]["value"] = 0.1
    with pytest.raises(NoGainError, match="is not better than its base"):
        require_gain(report, allow_no_gain=False)


def test_no_report_is_no_gain_empty():
    with pytest.raises(NoGainError):
        require_gain({}, allow_no_gain=False)


def test_a_repo_that_holds_something_else_is_left_alone(run, hub, names, tmp_path):
    (tmp_path / "hub" / "x").mkdir(parents=True)
    (tmp_path / "hub" / "x" / "README.md").write_text("mine")
    hub.head[names.dataset], hub.tags[names.dataset] = "x", ["x"]
    with pytest.raises(InputError, match="contains something that solo-hub did not publish"):
        run()
    assert hub.pushes == []


def test_somebody_published_in_between(run, hub, names, documents, folders):
    hub.tags[names.dataset] = ["theirs"]  # a version appeared after `latest` was asked
    with pytest.raises(ConflictError, match="someone else published at the same time"):
        publish(documents, folders, names, hub.push, latest=lambda *_: None)


def test_a_card_edited_on_the_hub_is_replaced_by_the_next_version(run, hub, names, folders):
    run()
    edited = hub.root / "edited"
    shutil.copytree(hub.root / hub.head[names.dataset], edited)
    (edited / "README.md").write_text((edited / "README.md").read_text() + "\nHello.\n")
    hub.head[names.dataset] = "edited"  # a commit without a version
    document = run()
    assert document["dataset"]["tag"] == "v2"
    assert frontmatter.split((folders.dataset / "README.md").read_text())[1].count('revision="v2"') == 2


def test_a_commit_whose_tag_was_never_made_keeps_its_content(run, hub, names):
    run()
    hub.tags[names.adapter] = []  # cut off between commit and tag
    before = list(hub.pushes)
    original = hub.push

    def push_and_tag(folder, repo_id, kind, **options):
        if not hub.tags[repo_id]:
            hub.tags[repo_id] = [hub.head[repo_id]]
        return original(folder, repo_id, kind, **options)

    hub.push = push_and_tag
    assert run()["adapter"]["tag"] == "v1"
    assert hub.pushes == before
