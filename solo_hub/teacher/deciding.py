"""Decides how a teacher answers: once, without labels (`decision` reads it back)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from solo_hub.core.errors import ConfigError, InputError
from solo_hub.core.files import Appender
from solo_hub.core.records import PseudoLabel, Question, Retrieval
from solo_hub.curation.step import RunCuration
from solo_hub.hub import tables
from solo_hub.models.answering import Fitted, fit
from solo_hub.models.experts import Recipe
from solo_hub.models.options import find_option
from solo_hub.models.prompts import BARE_STYLE, LISTED_STYLES, PromptBuilder, check_letters, suit_letters
from solo_hub.run.context import RunContext
from solo_hub.run.resolved import TeacherSetup
from solo_hub.run.teachers import RunTeacher
from solo_hub.tasks import loading
from solo_hub.tasks.reading import read_options
from solo_hub.teacher import decision, explanation, trials
from solo_hub.teacher import style as styles
from solo_hub.teacher.calibration import Calibration, calibrate
from solo_hub.teacher.labelling import Teacher

LEAST_WRITTEN = 0.2  # score of written answers below which labels are hardly worth learning
WRITTEN_SAMPLE = 16  # most questions on which written answers are tried: a server may cost money
EXPLAINED = 16  # questions on which explanations are tested
Sample = Sequence[tuple[Question, Retrieval]]


def make_teacher(model: RunTeacher, setup: TeacherSetup, identity: str = "", engine: Any = None) -> Teacher:
    """A teacher that answers as decided.

    Args:
        model: The model.
        setup: The decisions.
        identity: What labels depend on besides question and passages; see `decision.identity`.
        engine: In place of the model's own engine.
    """
    settings = model.context.config.teacher
    return Teacher(engine or model.engine, setup.builder(model.builder), setup, settings, identity)


def decide(
    context: RunContext, model: RunTeacher, questions: Sequence[Question], passages: Sequence[Retrieval]
) -> TeacherSetup:
    """Decide how a teacher answers: once, without labels, and recorded in `config.yaml`."""
    settings = context.config.teacher
    current = settings.model_dump(mode="json")
    before = context.resolved.setups.get(model.role)
    written = _writes(model, questions)
    if before and before.settings == current:
        if before.base_format == tuple(model.format_key(written=written or before.explains)):
            return before
        context.console.note(
            "existing labels are made again: they depend on files of the base that an earlier version ignored"
        )
    if settings.samples and not hasattr(model.engine, "sample"):
        raise ConfigError(f"The engine '{model.settings.name}' cannot draw samples.", hint="Set teacher.samples=0.")
    with Appender(context.run.path / trials.FILE) as file:
        setup = _try_out(context, model, list(zip(questions, passages, strict=True)), questions, file)
    base_format = tuple(model.format_key(written=written or setup.explains))
    setup = setup.model_copy(update={**({"base_format": base_format} if base_format else {}), "settings": current})
    context.record(setups={**context.resolved.setups, model.role: setup})
    (context.run.path / trials.FILE).unlink()
    return setup


def _try_out(
    context: RunContext, model: RunTeacher, everything: Sample, questions: Sequence[Question], file: Appender
) -> TeacherSetup:
    """Decide style, examples, temperatures and explanations on samples; every call of the model is saved."""
    settings = context.config.teacher
    engine = trials.SavedCalls(model.engine, context.run.path / trials.FILE, file)
    # written questions that the documents answer are not the teacher's: what it is to answer decides how it is asked
    asked_of_it = [pair for pair in everything if not context.shared(RunCuration).is_answered(pair[0])]
    pairs = asked_of_it or everything
    sample = _sample(context, pairs, settings.style_sample)
    style, asks, tests = _choose_styles(
        context, model, engine, [pair for pair in sample if pair[0].options], questions, file
    )
    # retrieval has its say once, however many models are asked
    say = settings.support_weight / len(context.teachers)
    weight = say if any(r.option_support is not None for _, r in everything) else 0.0
    recipe = Recipe(asks, settings.orders if asks in LISTED_STYLES else 1, support_weight=weight)
    samples = {"samples": settings.samples} if settings.samples else {}
    setup = TeacherSetup(style=style, explains=False, recipe=recipe, **samples)
    if settings.shots:
        setup = setup.model_copy(update={"examples": _choose_examples(context, model, engine, pairs, setup)})
    fitted = _calibrate(context, model, engine, pairs, setup) if asked_of_it else Calibration()
    recipe = dataclasses.replace(recipe, model_temperature=fitted.model_temperature, temperature=fitted.temperature)
    setup = setup.model_copy(update={"recipe": recipe})
    explains, share = (
        _choose_to_explain(context, model, engine, setup, sample[:EXPLAINED]) if asked_of_it else (False, None)
    )
    basis = {
        "style_tests": tuple(test.to_row() for test in tests),
        "calibration": dataclasses.asdict(fitted),
        "explained_share": share,
    }
    return setup.model_copy(update={"explains": explains, **basis})


def planned(context: RunContext, questions: Sequence[Question]) -> dict[str, int]:
    """How many questions the trials and labelling ask, by the titles of their progress."""
    settings = context.config.teacher
    pairs = [(question, Retrieval(question.id, ())) for question in questions]
    asked_of_it = [pair for pair in pairs if not context.shared(RunCuration).is_answered(pair[0])]
    sample = _sample(context, asked_of_it or pairs, settings.style_sample)
    options = sum(bool(question.options) for question, _ in sample)
    style = settings.style == "auto"
    shots = settings.shots if not settings.examples else 0
    drawn = len(_sample(context, asked_of_it or pairs, settings.calibration_sample)) if shots else 0
    calibrated = sum(bool(question.options) for question, _ in asked_of_it) if settings.calibrate else 0
    if calibrated - drawn < settings.calibration_sample:  # too few that no example was chosen from
        calibrated = max(0, calibrated - shots)
    explains = asked_of_it and settings.explain == "auto" and context.config.knowledge.passages
    once = {
        "choosing the scoring style": styles.asked(options, letters=suit_letters(questions)) if style else 0,
        "choosing examples": drawn,
        "calibrating": min(calibrated, settings.calibration_sample),
        "trying explanations": 2 * len(sample[:EXPLAINED]) if explains else 0,
        "labelling": len(asked_of_it),
    }
    return {title: count * len(context.teachers) for title, count in once.items()}


def prompts(context: RunContext, questions: Sequence[Question], passages: Sequence[Retrieval]) -> list[Fitted]:
    """The prompts of labelling, of the first teacher, as sent (in the first of several orders of the options)."""
    setup, teacher = decision.require_setup(context), context.teacher
    builder, reserve = setup.builder(teacher.builder), context.config.teacher.max_new_tokens
    return [
        fit(teacher.engine, builder, question, retrieval.passages, setup.recipe.style, reserve=reserve)
        for question, retrieval in zip(questions, passages, strict=True)
    ]


def _writes(model: RunTeacher, questions: Sequence[Question]) -> bool:
    """Whether labels depend on how text is generated; checked only if this makes a difference for the base."""
    if model.format_key(written=True) == model.format_key(written=False):
        return False
    return any(not question.options for question in questions) or not model.has_logprobs()


def _sample(context: RunContext, pairs: Sample, size: int) -> list[tuple[Question, Retrieval]]:
    chosen = {q.id for q in loading.sample([q for q, _ in pairs], size, context.config.seed)}
    return [pair for pair in pairs if pair[0].id in chosen]


def _choose_styles(
    context: RunContext,
    model: RunTeacher,
    engine: Any,
    sample: Sample,
    questions: Sequence[Question],
    file: Appender,
) -> tuple[str, str, list[styles.StyleTest]]:
    """Choose the scoring style of base and student, that of the teacher, and return the tests of the teacher's.

    Letters are excluded if some of the `questions` have more options than there are letters.

    The two styles differ if the teacher is another model than the base, where each is tested, or if the teacher's
    engine returns no log-probabilities: its answer is written, and whether it does better shown the options by letter
    or asked the question alone is tested; the student is scored locally as usual.
    """
    has_logprobs, settings = model.has_logprobs(), context.config.teacher
    if not has_logprobs or settings.style in LISTED_STYLES:
        check_letters(questions)
    own: str = settings.style
    tests: list[styles.StyleTest] = []
    if getattr(model.engine, "reads_text", False):
        own = BARE_STYLE
    elif has_logprobs and own == "auto":
        own, tests = try_styles(context, engine, model.builder, sample, questions, None)
        if sample:  # questions without options are answered in the teacher's own words
            _note_style(context, "scoring style", own, tests)
    if not has_logprobs:
        own, tests = _choose_written_style(context, model, engine, sample, questions)
    if context.classifies:
        return BARE_STYLE, own, tests
    if settings.style != "auto":
        return settings.style, own, tests
    if model.source == "base" and has_logprobs:
        return own, own, tests
    base = trials.SavedCalls(context.engine, context.run.path / trials.FILE, file)
    with context.engine.adapter(False):
        style, of_base = try_styles(context, base, context.builder, sample, questions, None)
    if sample:
        _note_style(context, "scoring style of base and student", style, of_base)
    return style, own, tests or of_base


def _choose_written_style(
    context: RunContext, model: RunTeacher, engine: Any, sample: Sample, questions: Sequence[Question]
) -> tuple[str, list[styles.StyleTest]]:
    """How a teacher without log-probabilities is asked; `teacher.style=letter` decides it, other styles score."""
    settings = context.config.teacher
    context.console.note(f"{model.settings.name} returns no log-probabilities: labels have no confidence")
    some = sample[:WRITTEN_SAMPLE] if settings.style not in LISTED_STYLES else []
    own, tests = try_styles(context, engine, model.builder, some, questions, settings.max_new_tokens)
    if some:
        _note_style(context, "written answers", own, tests)
        if tests and tests[0].score < LEAST_WRITTEN:
            context.console.warn(
                "what the teacher writes hardly depends on the question, so its labels will be few or poor; try "
                "teacher.prompt=chat (for a model trained to chat), fewer passages (knowledge.passages), or a larger "
                "model"
            )
    return own, tests


def try_styles(
    context: RunContext,
    engine: Any,
    builder: PromptBuilder,
    sample: Sample,
    questions: Sequence[Question],
    longest: int | None,
) -> tuple[str, list[styles.StyleTest]]:
    """Choose a model's scoring style by its answers to a sample of the questions; `longest` tokens where it writes."""
    asked, passages = [q for q, _ in sample], [r.passages for _, r in sample]
    seed, letters = context.config.seed, suit_letters(questions)
    total = styles.asked(len(asked), letters=letters, written=longest is not None)
    with context.console.progress("choosing the scoring style", total, saved=True) as progress:
        return styles.choose_style(
            engine, builder, asked, passages, seed=seed, letters=letters, longest=longest, progress=progress
        )


def _note_style(context: RunContext, what: str, style: str, tests: Sequence[styles.StyleTest]) -> None:
    context.console.note(f"{what} " + ", ".join(f"{t.style} {t.score:+.2f}" for t in tests) + f": {style}")


def _calibrate(context: RunContext, model: RunTeacher, engine: Any, pairs: Sample, setup: TeacherSetup) -> Calibration:
    settings = context.config.teacher
    if not settings.calibrate or not model.has_logprobs():
        return Calibration()
    sample = _sample(context, _not_shown(context, pairs, setup), settings.calibration_sample)
    with context.console.progress("calibrating", len(sample), saved=True) as progress:
        fitted = calibrate(
            engine,
            setup.builder(model.builder),
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
    context: RunContext, model: RunTeacher, engine: Any, pairs: Sample, setup: TeacherSetup
) -> tuple[tuple[Question, str], ...]:
    """The user's examples, or the teacher's most confident answers to a sample, without duplicates."""
    settings = context.config.teacher
    if settings.examples:
        return read_examples(settings.examples, setup.recipe.style)[: settings.shots]
    sample = _sample(context, pairs, settings.calibration_sample)
    with context.console.progress("choosing examples", len(sample), saved=True) as progress:
        labels = make_teacher(model, setup, engine=engine).label(
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
    context: RunContext, model: RunTeacher, engine: Any, setup: TeacherSetup, sample: Sample
) -> tuple[bool, float | None]:
    settings: Any = context.config.teacher
    if settings.explain != "auto" or not any(r.passages for _, r in sample):  # nothing to cite without passages
        return settings.explain == "always", None
    sampled, passages = [q for q, _ in sample], [r.passages for _, r in sample]
    with context.console.progress("trying explanations", 2 * len(sample), saved=True) as progress:
        labels = make_teacher(model, setup.model_copy(update={"samples": 0}), engine=engine).label(
            sampled, [r for _, r in sample], progress=progress
        )
        explains, share = explanation.explains_well(
            engine,
            model.builder,
            sampled,
            labels,
            passages,
            max_new_tokens=settings.max_new_tokens,
        )
        progress(len(sample))
    state = "on" if explains else "off"
    context.console.note(f"explanations: {share:.0%} of a sample cite their passages, so they are {state}")
    return explains, share
