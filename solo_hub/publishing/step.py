"""From a finished run folder to the Hub: what `publishing` needs, gathered from the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from solo_hub.core.records import Question, Retrieval
from solo_hub.evaluation import hub_results
from solo_hub.hub.repos import Pushed, RepoType
from solo_hub.publishing import collection, publication
from solo_hub.publishing import knowledge_step as knowledge_publication
from solo_hub.publishing.documents import PromptExample, RunDocuments
from solo_hub.publishing.naming import Names, knowledge_name, repo_names
from solo_hub.publishing.personal_data import guarded
from solo_hub.publishing.space import push_space
from solo_hub.publishing.versions import Version
from solo_hub.run import rows as run_rows
from solo_hub.run.context import Workbench


def publish_run(bench: Workbench, namespace: str, *, message: str = "") -> dict[str, Any]:
    """Publish a finished run: its knowledge where asked, dataset and adapter, the Space, the Collection of them all.

    What is done stands in `7-published.json` before the next is begun: where the Space or the Collection fails, the
    next call completes it.

    Args:
        bench: The run.
        namespace: User or organisation the token may write to.
        message: What the publisher says of this version.

    Returns:
        The content of `7-published.json`.

    Raises:
        NoGainError: The student is not better than its base.
        InputError: Rows look as if they held personal data, and the dataset is public; nothing was pushed.
        RunError: A step of the run is missing.
    """
    settings = bench.config.publish
    names = names_of(bench, namespace)
    folders = publication.Folders(bench.run.file("dataset_repo"), bench.run.file("adapter_repo"))
    knowledge = _knowledge(bench, namespace, folders, message=message)
    published = publication.publish(
        documents(bench, knowledge),
        folders,
        names,
        guarded(bench.door, bench.console, private=settings.private, allowed=settings.allow_personal),
        latest=lambda repo_id, kind: _latest(bench, repo_id, kind),
        tag=lambda repo_id, kind, commit: bench.door.tag_version(repo_id, _kind(kind), commit),
        message=message,
        private=settings.private,
        allow_no_gain=settings.allow_no_gain,
    )
    if knowledge is not None:
        published["knowledge"] = knowledge
    bench.run.write_json("published", published)
    if names.space:
        space = push_space(bench.run, published["adapter"], bench.door, name=names.space, private=settings.private)
        published["space"] = space_entry(space, published["adapter"])
        bench.run.write_json("published", published)
    if names.collection:
        published["collection"] = collect(bench, names, published)
        bench.run.write_json("published", published)
    return published


def _knowledge(
    bench: Workbench, namespace: str, folders: publication.Folders, *, message: str
) -> dict[str, Any] | None:
    """The knowledge base of the run on the Hub: found there, or published now where that is wanted."""
    settings, entry = bench.config.publish, bench.resolved["repos"].get("knowledge") or {}
    found = knowledge_publication.find(bench)
    if found is not None or "file" not in entry:
        return found
    source = Path(entry["file"])
    if not settings.knowledge:
        bench.console.note(
            f"the knowledge '{source.name}' is on this machine alone: nobody else can make these labels again. Where "
            "it may be public, publish it too with --set publish.knowledge=true"
        )
        return None
    publication.check(documents(bench), folders, names_of(bench, namespace), allow_no_gain=settings.allow_no_gain)
    chosen = settings.knowledge if isinstance(settings.knowledge, str) else None
    stem = source.name if source.is_dir() else source.stem
    repo_id = knowledge_name(namespace, chosen or stem, chosen=chosen is not None)
    return knowledge_publication.publish(bench, repo_id, message=message)


def space_entry(space: Pushed, adapter: Mapping[str, Any]) -> dict[str, Any]:
    """A pushed Space as `7-published.json` keeps it."""
    return {
        "repo_id": space.repo_id,
        "type": "space",
        "commit": space.commit,
        "tag": adapter.get("tag"),
        "url": space.url,
    }


def collect(bench: Workbench, names: Names, published: Mapping[str, Any]) -> dict[str, Any]:
    """Tie what was published and what it was made from together in a Collection.

    Cards cannot name commits that come after their own; the notes of the Collection name all of them.

    Returns:
        Its entry in `7-published.json`.
    """
    assert names.collection is not None  # noqa: S101 - asked by the caller
    collected = bench.door.collect(
        names.collection,
        names.adapter.split("/")[0],
        collection.items(published, bench.resolved["repos"]),
        description=collection.description(bench.resolved["repos"]),
        private=bench.config.publish.private,
    )
    return {"title": names.collection, "slug": collected.slug, "url": collected.url}


def names_of(bench: Workbench, namespace: str) -> Names:
    """Names of the run's repos."""
    settings = bench.config.publish
    return repo_names(
        namespace,
        bench.config.task.name,
        bench.config.base,
        dataset=settings.dataset,
        adapter=settings.adapter,
        space=settings.space and not bench.classifies,  # the Space asks a language model
        collection=settings.collection,
    )


def documents(bench: Workbench, knowledge: Mapping[str, Any] | None = None) -> RunDocuments:
    """Read the run folder.

    Args:
        bench: The run.
        knowledge: Where its knowledge base was published, if it was.
    """
    run = bench.run
    questions = run_rows.read_questions(run)
    retrievals = run_rows.read_passages(run, questions)
    labels = run_rows.read_labels(run, questions)
    verdicts = run_rows.read_verdicts(run, labels)
    report = run.read_json("report")
    return RunDocuments(
        config=knowledge_publication.with_published(bench.document, knowledge, bench.door),
        questions=tuple(questions),
        retrievals=tuple(retrievals),
        labels=tuple(labels),
        verdicts=tuple(verdicts),
        report=report,
        adapter=run.file("adapter"),
        example=_example(bench, run_rows.read_questions(run, "held_out")[0]),
        adapter_files=hub_results.documents(report, bench.document),
    )


def _example(bench: Workbench, question: Question) -> PromptExample:
    style = bench.resolved["teacher"]["style"]
    builder = bench.builder
    prompt = builder.ask(question, style)
    passages = bench.run.read_rows("held_out_passages", Retrieval)
    found = next((r.passages for r in passages if r.question_id == question.id), ())
    return PromptExample(
        question=question,
        prompt=prompt.text,
        style=style if question.options else "generate",
        prior=builder.prior().text if style == "text_minus_prior" else None,
        continuations=tuple(builder.continuations(question, style)),
        special_tokens=prompt.special_tokens,
        stop="\n",
        teacher=builder.ask(question, style, [p.text for p in reversed(found)]).text if found else None,
    )


def _latest(bench: Workbench, repo_id: str, kind: str) -> Version | None:
    version = bench.door.latest(repo_id, _kind(kind))
    return Version(*version) if version else None


def _kind(kind: str) -> RepoType:
    return "dataset" if kind == "dataset" else "model"
