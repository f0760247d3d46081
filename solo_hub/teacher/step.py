"""The labels of a run: reuse of completed labels, and labelling of the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from solo_hub.core.errors import ConfigError, InputError
from solo_hub.core.files import Appender, dumps, read_jsonl, read_record, write_lines
from solo_hub.core.records import PseudoLabel, Question, Retrieval
from solo_hub.curation.step import RunCuration
from solo_hub.hub import tables
from solo_hub.models.answering import Fitted, fit
from solo_hub.models.experts import Recipe
from solo_hub.models.options import find_option
from solo_hub.models.prompts import LISTED_STYLES, PromptBuilder, check_letters, suit_letters
from solo_hub.run.context import RunContext
from solo_hub.run.rows import label_problem
from solo_hub.tasks import loading
from solo_hub.tasks import step as task_step
from solo_hub.tasks.reading import read_options
from solo_hub.teacher import decision, explanation, filters, trials
from solo_hub.teacher import style as styles
from solo_hub.teacher.calibration import Calibration, calibrate
from solo_hub.teacher.decision import TeacherSetup
from solo_hub.teacher.filters import Filtered
from solo_hub.teacher.labelling import Teacher, label_key

SHARE = ".3-labels.{}.jsonl"
EARLIER = SHARE.format("earlier")
"""Completed labels that match no current question or prompt; kept in case their settings come back."""
GIVEN = "given"  # the style of imported labels
EXPLAINED = 16  # questions on which explanations are tested
Sample = Sequence[tuple[Question, Retrieval]]


def read_cached(context: RunContext) -> dict[str, PseudoLabel]:
    """All labels in the run folder by key, whatever they were made for and by whichever process."""
    return _read(context)


def _read(context: RunContext) -> dict[str, PseudoLabel]:
    paths = [path for path in (context.run.file("labels"), *_shares(context)) if path.exists()]
    rows = [
        read_record(PseudoLabel, row, path, number)
        for path in paths
        for number, row in read_jsonl(path, torn_tail=True)
    ]
    return {row.key: row for row in rows}


def _shares(context: RunContext) -> list[Path]:
    """Files of the processes that label together, one each."""
    return sorted(context.run.path.glob(SHARE.format("*")))


def cached_if_complete(
    context: RunContext, questions: Sequence[Question], passages: Sequence[Retrieval], known: dict[str, PseudoLabel]
) -> list[PseudoLabel] | None:
    """The labels, if every question has one with a matching key; does not load the model."""
    setup = decision.load_setup(context)
    if setup is None or not known:
        return None
    identity = decision.identity(context, setup)
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
    context: RunContext, questions: Sequence[Question], passages: Sequence[Retrieval], known: dict[str, PseudoLabel]
) -> list[PseudoLabel]:
    """Label the remaining questions; every batch is saved before the next starts.

    Several processes take turns on the batches that a single process would make, so the labels are the same.
    """
    processes, size = context.processes, context.config.teacher.batch_size
    pairs = list(zip(questions, passages, strict=True))
    own_share = [
        p for batch in processes.share([pairs[i : i + size] for i in range(0, len(pairs), size)]) for p in batch
    ]
    with context.teacher_weights():
        with processes.first_first():
            if not processes.first:
                context.reread()
            setup = _decide(context, questions, passages)
        identity = decision.identity(context, setup)
        teacher = _teacher(context, setup, identity)
        known = {**known, **_from_documents(context, pairs, identity)}
        alone = processes.count == 1
        path = context.run.file("labels") if alone else context.run.path / SHARE.format(processes.rank)
        with Appender(path) as file, context.console.progress("labelling", len(own_share), saved=True) as progress:
            labels = teacher.label(
                [q for q, _ in own_share], [r for _, r in own_share], known=known, save=file.append, progress=progress
            )
    if alone:
        return labels
    processes.wait()  # until every share is on disk
    by_key = _read(context)
    labels = [by_key[label_key(q, r, identity)] for q, r in pairs]
    processes.wait()  # until every process has read them
    return labels


def _from_documents(context: RunContext, pairs: Sample, identity: str) -> dict[str, PseudoLabel]:
    """Labels of generated questions, by key: the answer comes from the document, no teacher is asked."""
    curation = context.shared(RunCuration)
    keys = {label_key(question, retrieval, identity): (question, retrieval) for question, retrieval in pairs}
    labels = {key: curation.label(*pair, key) for key, pair in keys.items()}
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
    others = [row for row in _read(context).values() if row.key not in now and row.style != GIVEN]
    if others:
        write_lines(context.run.path / EARLIER, (dumps(row) + "\n" for row in others))


def apply_filters(context: RunContext, labels: Sequence[PseudoLabel]) -> Filtered:
    """Apply the filters; the counts of each filter are recorded in `config.yaml`."""
    settings = context.config.filters
    questions = {question.id: question for question in context.run.read_rows("questions", Question)}
    retrievals: dict[str, Retrieval] = {}
    if settings.unsupported:  # no other filter reads passages, and they are large
        retrievals = {retrieval.question_id: retrieval for retrieval in context.run.read_rows("passages", Retrieval)}
    result = filters.apply(
        filters.Labelled(
            labels,
            [questions[label.question_id] for label in labels],
            [retrievals[label.question_id] for label in labels] if settings.unsupported else [],
            _held_out(context) if settings.leakage else (),
            _disagreement(context, labels),
        ),
        settings,
    )
    context.resolved["filtered"] = {**result.counts, "dropped": len(result.dropped)}
    context.save()
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
    if "evaluation_questions" not in context.resolved["repos"]:
        return ()
    return task_step.questions(context, "evaluation_questions")


def _teacher(context: RunContext, setup: TeacherSetup, identity: str = "", engine: Any = None) -> Teacher:
    settings = context.config.teacher
    return Teacher(
        engine or context.teacher_engine,
        setup.builder(context.teacher_builder),
        setup.recipe.style,
        settings.batch_size,
        settings.max_new_tokens,
        setup.explains,
        identity,
        setup.recipe,
        setup.samples,
    )


def _decide(context: RunContext, questions: Sequence[Question], passages: Sequence[Retrieval]) -> TeacherSetup:
    """Decide how the teacher answers: once, without labels, and recorded in `config.yaml`."""
    settings = context.config.teacher
    current = settings.model_dump(mode="json")
    before = context.resolved.get("teacher")
    written = _writes(context, questions)
    if before and before.get("settings") == current:
        setup = TeacherSetup.from_row(before)
        if setup.base_format == tuple(context.format_key(written=written or setup.explains)):
            return setup
        context.console.note(
            "existing labels are made again: they depend on files of the base that an earlier version ignored"
        )
    if settings.samples and not hasattr(context.teacher_engine, "sample"):
        raise ConfigError(
            f"The engine '{context.config.engine.name}' cannot draw samples.", hint="Set teacher.samples=0."
        )
    with Appender(context.run.path / trials.FILE) as file:
        setup = _try_out(context, list(zip(questions, passages, strict=True)), questions, file)
    base_format = tuple(context.format_key(written=written or setup.explains))
    setup = dataclasses.replace(setup, base_format=base_format, notes={**setup.notes, "settings": current})
    context.resolved["teacher"] = setup.to_row()
    context.save()
    (context.run.path / trials.FILE).unlink()
    return setup


def _try_out(context: RunContext, everything: Sample, questions: Sequence[Question], file: Appender) -> TeacherSetup:
    """Decide style, examples, temperatures and explanations on samples; every call of the model is saved."""
    settings = context.config.teacher
    engine = trials.SavedCalls(context.teacher_engine, context.run.path / trials.FILE, file)
    # written questions that the documents answer are not the teacher's: what it is to answer decides how it is asked
    asked_of_it = [pair for pair in everything if context.shared(RunCuration).label(*pair, "") is None]
    pairs = asked_of_it or everything
    sample = _sample(context, pairs, settings.style_sample)
    has_logprobs = context.has_logprobs()
    scored = engine if has_logprobs else trials.SavedCalls(context.engine, context.run.path / trials.FILE, file)
    style, asks, tests = _choose_style(context, scored, [pair for pair in sample if pair[0].options], questions)
    weight = settings.support_weight if any(r.option_support is not None for _, r in everything) else 0.0
    recipe = Recipe(asks, settings.orders if asks in LISTED_STYLES else 1, support_weight=weight)
    setup = TeacherSetup(style, recipe, samples=settings.samples)
    if settings.shots:
        setup = dataclasses.replace(setup, examples=_choose_examples(context, engine, pairs, setup))
    fitted = _calibrate(context, engine, pairs, setup) if asked_of_it else Calibration()
    recipe = dataclasses.replace(recipe, model_temperature=fitted.model_temperature, temperature=fitted.temperature)
    setup = dataclasses.replace(setup, recipe=recipe)
    explains, share = _choose_to_explain(context, engine, setup, sample[:EXPLAINED]) if asked_of_it else (False, None)
    notes = {
        "style_tests": [{**dataclasses.asdict(test), "score": test.score} for test in tests],
        "calibration": dataclasses.asdict(fitted),
        "explained_share": share,
    }
    return dataclasses.replace(setup, explains=explains, notes=notes)


def planned(context: RunContext, questions: Sequence[Question]) -> dict[str, int]:
    """How many questions the trials and labelling ask, by the titles of their progress."""
    settings = context.config.teacher
    pairs = [(question, Retrieval(question.id, ())) for question in questions]
    asked_of_it = [pair for pair in pairs if context.shared(RunCuration).label(*pair, "") is None]
    sample = _sample(context, asked_of_it or pairs, settings.style_sample)
    options = sum(bool(question.options) for question, _ in sample)
    style = settings.style == "auto"
    shots = settings.shots if not settings.examples else 0
    drawn = len(_sample(context, asked_of_it or pairs, settings.calibration_sample)) if shots else 0
    calibrated = sum(bool(question.options) for question, _ in asked_of_it) if settings.calibrate else 0
    if calibrated - drawn < settings.calibration_sample:  # too few that no example was chosen from
        calibrated = max(0, calibrated - shots)
    return {
        "choosing the scoring style": styles.asked(options, letters=suit_letters(questions)) if style else 0,
        "choosing examples": drawn,
        "calibrating": min(calibrated, settings.calibration_sample),
        "trying explanations": 2 * len(sample[:EXPLAINED]) if asked_of_it and settings.explain == "auto" else 0,
        "labelling": len(questions),
    }


def prompts(context: RunContext, questions: Sequence[Question], passages: Sequence[Retrieval]) -> list[Fitted]:
    """The prompts of labelling, as they are sent (in the first of several orders of the options)."""
    setup = decision.require_setup(context)
    builder, reserve = setup.builder(context.teacher_builder), context.config.teacher.max_new_tokens
    return [
        fit(context.teacher_engine, builder, question, retrieval.passages, setup.recipe.style, reserve=reserve)
        for question, retrieval in zip(questions, passages, strict=True)
    ]


def _writes(context: RunContext, questions: Sequence[Question]) -> bool:
    """Whether labels depend on how text is generated; checked only if this makes a difference for the base."""
    if context.format_key(written=True) == context.format_key(written=False):
        return False
    return any(not question.options for question in questions) or not context.has_logprobs()


def _sample(context: RunContext, pairs: Sample, size: int) -> list[tuple[Question, Retrieval]]:
    chosen = {q.id for q in loading.sample([q for q, _ in pairs], size, context.config.seed)}
    return [pair for pair in pairs if pair[0].id in chosen]


def _choose_style(
    context: RunContext, engine: Any, sample: Sample, questions: Sequence[Question]
) -> tuple[str, str, list[styles.StyleTest]]:
    """Choose the scoring style, the teacher's prompt style, and return the tests.

    Letters are excluded if some of the `questions` have more options than there are letters.

    The two styles differ if the teacher's engine returns no log-probabilities: it is shown the options and writes the
    letter, which a small model does badly and a large one well; the student is scored locally as usual.
    """
    has_logprobs = context.has_logprobs()
    listed = LISTED_STYLES[0]
    if not has_logprobs or context.config.teacher.style in LISTED_STYLES:
        check_letters(questions)
    if context.config.teacher.style != "auto":
        return context.config.teacher.style, context.config.teacher.style if has_logprobs else listed, []
    sampled, passages = [q for q, _ in sample], [r.passages for _, r in sample]
    builder, letters = context.teacher_builder if has_logprobs else context.builder, suit_letters(questions)
    total = styles.asked(len(sampled), letters=letters)
    with context.console.progress("choosing the scoring style", total, saved=True) as progress:
        style, tests = styles.choose_style(
            engine, builder, sampled, passages, seed=context.config.seed, letters=letters, progress=progress
        )
    if sample:  # questions without options are answered in the teacher's own words
        context.console.note("scoring style " + ", ".join(f"{t.style} {t.score:+.2f}" for t in tests) + f": {style}")
    if not has_logprobs:
        context.console.note(f"{context.config.engine.name} returns no log-probabilities: labels have no confidence")
    return style, style if has_logprobs else listed, tests


def _calibrate(context: RunContext, engine: Any, pairs: Sample, setup: TeacherSetup) -> Calibration:
    settings = context.config.teacher
    if not settings.calibrate or not context.has_logprobs():
        return Calibration()
    sample = _sample(context, _not_shown(context, pairs, setup), settings.calibration_sample)
    with context.console.progress("calibrating", len(sample), saved=True) as progress:
        fitted = calibrate(
            engine,
            setup.builder(context.teacher_builder),
            sample,
            decision.supports([r for _, r in sample]),
            setup.recipe,
            reserve=settings.max_new_tokens,
            batch_size=settings.batch_size,
            progress=progress,
        )
    if fitted.agreement is not None:
        context.console.note(
            f"confidence (a heuristic): {fitted.views} agree on {fitted.agreement:.0%} of {fitted.n} questions; mean "
            f"confidence was {fitted.before:.0%}, temperature {fitted.temperature * fitted.model_temperature:.1f}"
        )
    return fitted


def _not_shown(context: RunContext, pairs: Sample, setup: TeacherSetup) -> Sample:
    """Questions with options to calibrate on: if possible, none from the sample the examples were chosen from.

    Examples are the most confident answers of their sample, so the rest of it is less confident than other questions.
    """
    settings = context.config.teacher
    with_options = [pair for pair in pairs if pair[0].options]
    if not setup.examples or settings.examples:
        return with_options
    drawn = {question.id for question, _ in _sample(context, pairs, settings.calibration_sample)}
    fresh = [pair for pair in with_options if pair[0].id not in drawn]
    if len(fresh) >= settings.calibration_sample:
        return fresh
    shown = {question.id for question, _ in setup.examples}
    return [pair for pair in with_options if pair[0].id not in shown]


def _choose_examples(
    context: RunContext, engine: Any, pairs: Sample, setup: TeacherSetup
) -> tuple[tuple[Question, str], ...]:
    """The user's examples, or the teacher's most confident answers to a sample, without duplicates."""
    settings = context.config.teacher
    if settings.examples:
        return read_examples(settings.examples, setup.recipe.style)[: settings.shots]
    sample = _sample(context, pairs, settings.calibration_sample)
    with context.console.progress("choosing examples", len(sample), saved=True) as progress:
        labels = _teacher(context, setup, engine=engine).label(
            [q for q, _ in sample], [r for _, r in sample], progress=progress
        )
    by_id = {q.id: q for q, _ in sample}
    confident = sorted((row for row in labels if row.confidence is not None), key=lambda row: -(row.confidence or 0.0))
    if not confident:
        raise ConfigError(
            "The teacher's engine returns no log-probabilities, so examples cannot be chosen by confidence.",
            hint="Provide examples with teacher.examples=FILE, or set teacher.shots=0.",
        )
    chosen: dict[str, tuple[Question, str]] = {}
    for row in confident:
        question = by_id[row.question_id]
        chosen.setdefault(row.text.casefold(), (question, _answer_text(question, row, setup)))
    # the most confident one is last, next to the question
    return tuple(list(chosen.values())[: settings.shots][::-1])


def _answer_text(question: Question, label: PseudoLabel, setup: TeacherSetup) -> str:
    if label.option is None:
        return label.text
    return PromptBuilder().answers(question, setup.recipe.style)[label.option]


def read_examples(file: str, style: str) -> tuple[tuple[Question, str], ...]:
    """User-written examples: rows with `question`, `answer` and, where options are listed in the prompt, `options`.

    Raises:
        ConfigError: There is no such file.
        InputError: A row lacks a field, or its answer is not one of its options.
    """
    path = tables.local_file(file)
    if path is None:
        raise ConfigError(
            f"File '{file}' with examples does not exist.",
            hint="Set teacher.examples to a .jsonl, .csv or .parquet file.",
        )
    examples = []
    for number, row in tables.read_table(path):
        for name in ("question", "answer"):
            if not isinstance(row.get(name), str) or not row[name].strip():
                raise InputError("is missing or empty.", file=file, row=number, field=name, hint="Fill it in.")
        try:
            options, labels = read_options(row["options"], "options") if row.get("options") else ((), ())
        except InputError as error:
            raise InputError(error.reason, file=file, row=number, field=error.field, hint=error.hint) from None
        question, answer = Question(f"example-{number}", row["question"], options), row["answer"]
        if style in LISTED_STYLES and options:
            place = find_option(answer, options, labels=labels)
            if place is None:
                raise InputError("is not one of the options.", file=file, row=number, field="answer", hint="Fix it.")
            answer = PromptBuilder().answers(question, style)[place]
        examples.append((question, answer))
    return tuple(examples)


def _choose_to_explain(
    context: RunContext, engine: Any, setup: TeacherSetup, sample: Sample
) -> tuple[bool, float | None]:
    settings: Any = context.config.teacher
    if settings.explain != "auto":
        return settings.explain == "always", None
    sampled, passages = [q for q, _ in sample], [r.passages for _, r in sample]
    with context.console.progress("trying explanations", 2 * len(sample), saved=True) as progress:
        labels = _teacher(context, dataclasses.replace(setup, samples=0), engine=engine).label(
            sampled, [r for _, r in sample], progress=progress
        )
        explains, share = explanation.explains_well(
            engine,
            context.teacher_builder,
            sampled,
            labels,
            passages,
            max_new_tokens=settings.max_new_tokens,
        )
        progress(len(sample))
    state = "on" if explains else "off"
    context.console.note(f"explanations: {share:.0%} of a sample cite their passages, so they are {state}")
    return explains, share
