"""Publishing a finished run: gathers from the run folder what `publishing` needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from solo_hub.core.records import Question, Retrieval
from solo_hub.curation.step import RunCuration
from solo_hub.evaluation import hub_results
from solo_hub.models.prompts import PromptBuilder
from solo_hub.publishing import collection, publication, versions
from solo_hub.publishing import knowledge_step as knowledge_publication
from solo_hub.publishing.documents import PromptExample, RunDocuments
from solo_hub.publishing.naming import Names, knowledge_name, repo_names
from solo_hub.publishing.personal_data import guarded
from solo_hub.publishing.space import push_space
from solo_hub.run import resolution
from solo_hub.run import rows as run_rows
from solo_hub.run.context import RunContext
from solo_hub.run.resolved import LocalFile
from solo_hub.run.teachers import teacher_names
from solo_hub.teacher import decision


def publish_run(context: RunContext, namespace: str, *, message: str = "") -> dict[str, Any]:
    """Publish a finished run: its knowledge where asked, dataset and adapter, the Space, the Collection of them all.

    Each part is recorded in `7-published.json` before the next one starts: if the Space or the Collection fails, the
    next call completes it.

    Args:
        context: The run.
        namespace: User or organisation the token may write to.
        message: The publisher's message.

    Returns:
        The content of `7-published.json`.

    Raises:
        NoGainError: The student is not better than its base.
        InputError: Rows look like personal data, and the dataset is public; nothing was pushed.
        RunError: A step of the run is missing.
    """
    settings = context.config.publish
    names = names_of(context, namespace)
    # separate folders: those of the run keep the last published version until this push is done
    folders = publication.Folders(context.run.path / ".7-dataset", context.run.path / ".7-adapter")
    knowledge = _knowledge(context, namespace, folders, message=message)
    published = publication.publish(
        documents(context, knowledge),
        folders,
        names,
        guarded(context.client, context.console, private=settings.private, allowed=settings.allow_personal),
        latest=context.client.latest,
        tag=context.client.tag_version,
        message=message,
        private=settings.private,
        allow_no_gain=settings.allow_no_gain,
        confirm=context.console.confirm,
    )
    if knowledge is not None:
        published["knowledge"] = knowledge
    context.run.put_in_place({"dataset_repo": folders.dataset, "adapter_repo": folders.adapter}, published)
    if names.space:
        space = push_space(
            context.run, published["adapter"], context.client, name=names.space, private=settings.private
        )
        published["space"] = versions.entry(space)
        context.run.write_json("published", published)
    if names.collection:
        published["collection"] = collect(context, names, published)
        context.run.write_json("published", published)
    return published


def _knowledge(
    context: RunContext, namespace: str, folders: publication.Folders, *, message: str
) -> dict[str, Any] | None:
    """The knowledge base of the run on the Hub: found there, or published now if enabled."""
    settings, entry = context.config.publish, context.resolved.repos.get("knowledge")
    found = knowledge_publication.find(context)
    if found is not None or not isinstance(entry, LocalFile):
        return found
    source = Path(entry.file)
    if not settings.knowledge:
        context.console.note(
            f"the knowledge '{source.name}' is local, so nobody else can reproduce these labels; if it may be public, "
            "publish it too with --set publish.knowledge=true"
        )
        return None
    publication.check(documents(context), folders, names_of(context, namespace), allow_no_gain=settings.allow_no_gain)
    chosen = settings.knowledge if isinstance(settings.knowledge, str) else None
    stem = source.name if source.is_dir() else source.stem
    repo_id = knowledge_name(namespace, chosen or stem, chosen=chosen is not None)
    return knowledge_publication.publish(context, repo_id, message=message)


def collect(context: RunContext, names: Names, published: Mapping[str, Any]) -> dict[str, Any]:
    """Create a Collection of the published repos and their sources.

    Cards cannot name later commits; the notes of the Collection name all of them.

    Returns:
        Its entry in `7-published.json`.
    """
    assert names.collection is not None  # noqa: S101 - asked by the caller
    repos = context.resolved.to_row()["repos"]
    collected = context.client.collect(
        names.collection,
        names.adapter.split("/")[0],
        collection.items(published, repos),
        description=collection.description(repos),
        private=context.config.publish.private,
    )
    return {"title": names.collection, "slug": collected.slug, "url": collected.url}


def names_of(context: RunContext, namespace: str) -> Names:
    """Names of the run's repos."""
    settings = context.config.publish
    return repo_names(
        namespace,
        context.config.subject,
        context.config.base,
        dataset=settings.dataset,
        adapter=settings.adapter,
        space=settings.space and not context.classifies,  # the Space asks a language model
        collection=settings.collection,
        taught=f"learned from {_listed(teachers)}"
        if (teachers := teacher_names(context.resolved))
        else "taught itself",
    )


def _listed(repos: Sequence[str]) -> str:
    """Repo ids without their owners, in a sentence."""
    return " and ".join(repo.rsplit("/", 1)[-1] for repo in repos)


def documents(context: RunContext, knowledge: Mapping[str, Any] | None = None) -> RunDocuments:
    """Read the run folder.

    Args:
        context: The run.
        knowledge: Where its knowledge base was published, if it was.
    """
    run = context.run
    questions = run_rows.read_questions(run)
    retrievals = run_rows.read_passages(run, questions)
    labels = run_rows.read_labels(run, questions)
    verdicts = run_rows.read_verdicts(run, labels)
    report = run.read_json("report")
    resolved = knowledge_publication.with_published(context.resolved, knowledge, context.client)
    return RunDocuments(
        config=resolution.document(context.config, resolved),
        questions=tuple(questions),
        retrievals=tuple(retrievals),
        labels=tuple(labels),
        verdicts=tuple(verdicts),
        report=report,
        adapter=run.file("adapter"),
        example=_example(context, run_rows.read_questions(run, "held_out")[0]),
        adapter_files=hub_results.documents(report, context.config.task, context.resolved),
        curated=context.shared(RunCuration).rows,
        feedback=tuple(run_rows.read_feedback(run, questions)) if run.has("feedback") else (),
    )


def _example(context: RunContext, question: Question) -> PromptExample:
    style = context.resolved.style
    builder = context.builder
    prompt = builder.ask(question, style)
    passages = context.run.read_rows("held_out_passages", Retrieval)
    found = next((r.passages for r in passages if r.question_id == question.id), ())
    return PromptExample(
        question=question,
        prompt=prompt.text,
        style=style if question.options else "generate",
        prior=builder.prior().text if style == "text_minus_prior" else None,
        continuations=tuple(builder.continuations(question, style)),
        special_tokens=prompt.special_tokens,
        stop="\n",
        teacher=_teacher_prompt(context, question, [p.text for p in reversed(found)]) if found else None,
    )


def _teacher_prompt(context: RunContext, question: Question, passages: Sequence[str]) -> str:
    """The prompt of the teacher, whose model is not loaded for it."""
    setup, files = decision.require_setup(context), context.teacher.files
    chat = files.chat.prompt if files and context.config.teacher.prompt == "chat" else None
    return PromptBuilder(chat).ask(question, setup.recipe.style, passages).text
