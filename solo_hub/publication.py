"""From a finished run folder to the Hub: what `publishing` needs, gathered from the run."""

from __future__ import annotations

from typing import Any

from solo_hub.hub.door import RepoType
from solo_hub.publishing import publication
from solo_hub.publishing.documents import PromptExample, RunDocuments
from solo_hub.publishing.naming import Names, repo_names
from solo_hub.records import PseudoLabel, Question, Retrieval, Verdict
from solo_hub.workbench import Workbench


def publish_run(bench: Workbench, namespace: str, *, message: str = "") -> dict[str, Any]:
    """Publish dataset and adapter of a finished run.

    Args:
        bench: The run.
        namespace: User or organisation the token may write to.
        message: What the publisher says of this version.

    Returns:
        The content of `7-published.json`.

    Raises:
        NoGainError: The student is not better than its base.
        RunError: A step of the run is missing.
    """
    settings = bench.config.publish
    names = names_of(bench, namespace)
    published = publication.publish(
        documents(bench),
        publication.Folders(bench.run.file("dataset_repo"), bench.run.file("adapter_repo")),
        names,
        bench.door.push,
        latest=lambda repo_id, kind: _latest(bench, repo_id, kind),
        tag=lambda repo_id, kind, commit: bench.door.tag_version(repo_id, _kind(kind), commit),
        message=message,
        private=settings.private,
        allow_no_gain=settings.allow_no_gain,
    )
    bench.run.write_json("published", published)
    return published


def names_of(bench: Workbench, namespace: str) -> Names:
    """Names of the run's repos."""
    settings = bench.config.publish
    return repo_names(
        namespace, bench.config.task.name, bench.config.base, dataset=settings.dataset, adapter=settings.adapter
    )


def documents(bench: Workbench) -> RunDocuments:
    """Read the run folder."""
    run = bench.run
    questions = run.read_rows("questions", Question)
    retrievals = run.read_rows("passages", Retrieval)
    verdicts = {v.question_id: v for name in ("selected", "dropped") for v in run.read_rows(name, Verdict)}
    labels = run.read_rows("labels", PseudoLabel)
    return RunDocuments(
        config=bench.document,
        questions=tuple(questions),
        retrievals=tuple(retrievals),
        labels=tuple(labels),
        verdicts=tuple(verdicts[label.question_id] for label in labels),
        report=run.read_json("report"),
        adapter=run.file("adapter"),
        example=_example(bench, run.read_rows("held_out", Question)[0]),
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


def _latest(bench: Workbench, repo_id: str, kind: str) -> publication.Version | None:
    version = bench.door.latest(repo_id, _kind(kind))
    return publication.Version(*version) if version else None


def _kind(kind: str) -> RepoType:
    return "dataset" if kind == "dataset" else "model"
