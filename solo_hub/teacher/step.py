"""The labels of a run: reuse of completed labels, and labelling of the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from solo_hub.core.errors import ConfigError, InputError, SoloHubError
from solo_hub.core.files import Appender, dumps, read_jsonl, write_lines
from solo_hub.core.records import PseudoLabel, Question, Retrieval
from solo_hub.curation.step import RunCuration
from solo_hub.run.context import RunContext
from solo_hub.run.resolved import TeacherSetup
from solo_hub.run.row_cache import RowCache
from solo_hub.run.rows import label_problem
from solo_hub.run.teachers import RunTeacher
from solo_hub.tasks import step as task_step
from solo_hub.teacher import deciding, decision, filters, several
from solo_hub.teacher.filters import Filtered
from solo_hub.teacher.labelling import label_key

SHARE = ".3-labels.{}.jsonl"
EARLIER = SHARE.format("earlier")
"""Completed labels that match no current question or prompt; kept in case their settings come back."""
GIVEN = "given"  # the style of imported labels


def label(context: RunContext, questions: Sequence[Question], passages: Sequence[Retrieval]) -> list[PseudoLabel]:
    """The teacher's label of each question, in order, also as the final file; completed labels are kept."""
    known = read_cached(context)
    complete = cached_if_complete(context, questions, passages, known)
    if complete is None:
        context.check_base()
        labels = label_missing(context, questions, passages, known)
    else:
        labels = complete
    validate(context, questions, labels)
    if complete is None or not is_finished(context, labels):
        context.processes.wait()  # until every process has read the files
        write_final(context, labels)
    return labels


def read_cached(context: RunContext) -> Mapping[str, PseudoLabel]:
    """All labels in the run folder by key, whatever they were made for and by whichever process."""
    return RowCache(PseudoLabel, context.run.file("labels"), *_shares(context))


def _shares(context: RunContext) -> list[Path]:
    """Files of the processes that label together, one each."""
    return sorted(context.run.path.glob(SHARE.format("*")))


def cached_if_complete(
    context: RunContext, questions: Sequence[Question], passages: Sequence[Retrieval], known: Mapping[str, PseudoLabel]
) -> list[PseudoLabel] | None:
    """The labels, if every question has one with a matching key; does not load the model."""
    identity = decision.labels_identity(context) if known else None
    if identity is None:
        return None
    keys = [label_key(q, r, identity) for q, r in zip(questions, passages, strict=True)]
    return [known[key] for key in keys] if all(key in known for key in keys) else None


def validate(context: RunContext, questions: Sequence[Question], labels: Sequence[PseudoLabel]) -> None:
    """Check that labels fit their questions: a key says what a label was made for, not what the file contains now.

    Raises:
        InputError: Names file and row.
    """
    for question, label in zip(questions, labels, strict=True):
        problem = label_problem(label, question)
        if problem is None:
            continue
        path = context.run.file("labels")
        raise InputError(
            problem,
            file=str(path),
            row=next((number for number, row in read_jsonl(path, torn_tail=True) if row.get("key") == label.key), None),
            hint="Remove that line and run the same command again; the question will be labelled again.",
        )


def label_missing(
    context: RunContext, questions: Sequence[Question], passages: Sequence[Retrieval], known: Mapping[str, PseudoLabel]
) -> list[PseudoLabel]:
    """Label the remaining questions; every batch is saved before the next starts.

    Several processes take turns on the batches that a single process would make, so the labels are the same.
    """
    if len(context.teachers) == 1:
        return _label(context, context.teacher, questions, passages, known)
    return _label_together(context, questions, passages, known)


def _label_together(
    context: RunContext, questions: Sequence[Question], passages: Sequence[Retrieval], known: Mapping[str, PseudoLabel]
) -> list[PseudoLabel]:
    """The labels of several teachers as one; a teacher that fails leaves the others."""
    labels: dict[str, list[PseudoLabel]] = {}
    failed: dict[str, str] = {}
    for model in context.teachers:
        try:
            labels[model.role] = _label(context, model, questions, passages, known)
        except ConfigError:  # the user's to put right, before others are asked
            raise
        except SoloHubError as error:
            if context.processes.count > 1 or len(failed) + 1 == len(context.teachers):
                raise
            failed[model.role] = error.message
            context.console.warn(f"the teacher {model.name} is left out, because it failed: {error.message}")
    together = several.fit(labels, failed, calibrate=context.config.teacher.calibrate)
    setups = context.resolved.setups
    if "teacher" not in setups:  # the first one failed; without settings it is decided anew if asked again
        decided = setups[together.roles[0]].to_row()
        del decided["settings"]
        setups = {**setups, "teacher": TeacherSetup.read(decided)}
    context.record(teachers=together, setups=setups)
    if together.agreement is not None:
        context.console.note(
            f"{len(labels)} teachers agree on {together.agreement:.0%} of pairs of answers; their probabilities are "
            f"multiplied, temperature {together.temperature:.1f}"
        )
    identity = decision.labels_identity(context)
    assert identity is not None  # noqa: S101 - decided above
    asked = {label_key(q, r, identity): (q, r) for q, r in zip(questions, passages, strict=True)}
    written = _from_documents(context, asked)
    joined = several.join_labels(questions, labels.values(), list(asked), together.temperature)
    return [written.get(label.key, label) for label in joined]


def _label(
    context: RunContext,
    model: RunTeacher,
    questions: Sequence[Question],
    passages: Sequence[Retrieval],
    known: Mapping[str, PseudoLabel],
) -> list[PseudoLabel]:
    """The labels of one teacher, and those that documents give."""
    processes, size = context.processes, context.config.teacher.batch_size
    pairs = list(zip(questions, passages, strict=True))
    curation = context.shared(RunCuration)
    asked = [pair for pair in pairs if not curation.is_answered(pair[0])]
    own_share = [
        p for batch in processes.share([asked[i : i + size] for i in range(0, len(asked), size)]) for p in batch
    ]
    with model.weights():
        with processes.first_first():
            if not processes.first:
                context.reread()
            setup = deciding.decide(context, model, questions, passages)
        identity = decision.identity(model, setup)
        teacher = deciding.make_teacher(model, setup, identity)
        alone = processes.count == 1
        path = context.run.file("labels") if alone else context.run.path / SHARE.format(processes.rank)
        with Appender(path) as file, context.console.progress("labelling", len(own_share), saved=True) as progress:
            labels = teacher.label(
                [q for q, _ in own_share], [r for _, r in own_share], known=known, save=file.append, progress=progress
            )
    processes.wait()  # until every share is on disk
    by_key: Mapping[str, PseudoLabel] = {label.key: label for label in labels} if alone else read_cached(context)
    keyed = {label_key(q, r, identity): (q, r) for q, r in pairs}
    given = _from_documents(context, keyed)
    found = [given[key] if key in given else by_key[key] for key in keyed]
    processes.wait()  # until every process has read them
    return found


def _from_documents(context: RunContext, keyed: Mapping[str, tuple[Question, Retrieval]]) -> dict[str, PseudoLabel]:
    """Labels of generated questions, by key: the answer comes from the document, no teacher is asked."""
    curation = context.shared(RunCuration)
    labels = {key: curation.label(*pair, key) for key, pair in keyed.items()}
    return {key: label for key, label in labels.items() if label is not None}


def write_final(context: RunContext, labels: Sequence[PseudoLabel]) -> None:
    """Write the final file, with each question once and in order.

    Stale labels are kept in a separate file.
    """
    if context.processes.first:
        keep_others(context, labels)
        context.run.write_rows("labels", labels)
        for path in _shares(context):
            if path.name != EARLIER:
                path.unlink()
    context.processes.wait()


def is_finished(context: RunContext, labels: Sequence[PseudoLabel]) -> bool:
    """Whether the file contains exactly these labels, in this order."""
    path = context.run.file("labels")
    keys = [row.get("key") for _, row in read_jsonl(path, torn_tail=True)] if path.exists() else []
    return keys == [label.key for label in labels] and not any(p.name != EARLIER for p in _shares(context))


def keep_others(context: RunContext, labels: Sequence[PseudoLabel]) -> None:
    """Save the teacher's other labels before these labels replace the file."""
    now = {label.key for label in labels}
    others = [row for row in read_cached(context).values() if row.key not in now and row.style != GIVEN]
    if others:
        write_lines(context.run.path / EARLIER, (dumps(row) + "\n" for row in others))


def apply_filters(
    context: RunContext, questions: Sequence[Question], passages: Sequence[Retrieval], labels: Sequence[PseudoLabel]
) -> Filtered:
    """Apply the filters; the counts of each filter are recorded in `config.yaml`."""
    settings = context.config.filters
    held_out = _held_out(context) if settings.leakage else ()
    labelled = filters.Labelled(labels, questions, passages, held_out, _disagreement(context, labels))
    result = filters.apply(labelled, settings)
    context.record(filtered={**result.counts, "dropped": len(result.dropped)})
    if result.dropped:
        caught = ", ".join(f"{name} {count}" for name, count in result.counts.items() if count)
        context.console.note(f"filters dropped {len(result.dropped):,} of {len(labels):,} labels: {caught}")
    return result


def _disagreement(context: RunContext, labels: Sequence[PseudoLabel]) -> Sequence[bool]:
    """The round-trip check of each label; empty without generated questions, or if answers come from the documents."""
    curation = context.shared(RunCuration)
    if not curation.learnt or context.config.curation.check == "text":
        return ()
    return [curation.disagrees(label) for label in labels]


def _held_out(context: RunContext) -> Sequence[Question]:
    """The held-out questions, without answers; curation prevents leakage of generated ones itself."""
    if "evaluation_questions" not in context.resolved.repos:
        return ()
    return task_step.questions(context, "evaluation_questions")
