"""The section `resolved` of a run's `config.yaml`: what its settings were resolved to, and what was decided since.

It is read and checked once, by its types, and frozen: `RunContext.record` replaces it. What a row of another version
lacks stays absent and what it has beyond these fields is kept, so that it is written as it was read.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
    model_validator,
)

from solo_hub.core.records import Question
from solo_hub.hub.repos import Pinned, RepoType
from solo_hub.models.experts import Recipe
from solo_hub.models.prompts import PromptBuilder
from solo_hub.run.references import is_teacher


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it has control characters")
    return text


def _read_example(row: Any) -> Any:
    if isinstance(row, list) and len(row) == 2 and isinstance(row[0], Mapping):  # noqa: PLR2004 - question and answer
        return Question.from_row(row[0]), row[1]
    return row


Printable = Annotated[str, AfterValidator(_printable)]
Example = Annotated[
    tuple[Question, str],
    BeforeValidator(_read_example),
    PlainSerializer(lambda example: [example[0].to_row(), example[1]]),
]


class Part(BaseModel):
    """A frozen part of the section."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())

    @classmethod
    def read(cls, row: Any) -> Self:
        """Read a row of `config.yaml`.

        Raises:
            ValueError: A key is missing or has the wrong type; names it.
        """
        try:
            return cls.model_validate(row)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "it"
            raise ValueError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None

    def to_row(self) -> dict[str, Any]:
        """Return it as JSON types, with the keys it was made with."""
        return self.model_dump(mode="json", exclude_unset=True)


class LocalFile(Part):
    """A file or folder of this machine, with the hash of its content (`references.sha256`)."""

    repo_id: ClassVar[None] = None
    commit: ClassVar[None] = None
    language: ClassVar[tuple[str, ...]] = ()
    file: Printable
    sha256: Printable
    license: str | None = None
    reference: str | None = None

    @property
    def identity(self) -> str:
        """Name and hash, for cache keys and reports."""
        return f"{Path(self.file).name}@sha256:{self.sha256}"

    @property
    def place(self) -> str:
        """Its path, for messages."""
        return self.file

    @property
    def name(self) -> str:
        """Its name without its folders, which may be those of Windows."""
        return PureWindowsPath(PurePosixPath(self.file).name).name or self.file

    @property
    def fingerprint(self) -> str:
        """What it is pinned by: the hash of its content."""
        return self.sha256


class PinnedRepo(Part):
    """A repo at a commit, as `hub.repos.Pinned`; the run's endpoint is stored once for all.

    Attributes:
        license: Identifiers from its card, with commas between them; None if it states none.
        made_from: The local file or folder that was published as this repo.
    """

    repo_id: Printable
    type: RepoType
    revision: Printable = "main"
    commit: Printable
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    language: tuple[str, ...] = ()
    reference: str | None = None
    made_from: LocalFile | None = None

    @property
    def identity(self) -> str:
        """Repo and commit, for cache keys and reports."""
        return f"{self.repo_id}@{self.commit}"

    @property
    def place(self) -> str:
        """The repo's id, for messages."""
        return self.repo_id

    @property
    def name(self) -> str:
        """The repo's id."""
        return self.repo_id

    @property
    def fingerprint(self) -> str:
        """What it is pinned by: its commit."""
        return self.commit

    def on(self, endpoint: str) -> Pinned:
        """The repo on its Hub."""
        return Pinned.from_row(self.model_dump(), endpoint)


Entry = PinnedRepo | LocalFile


def read_entry(row: Mapping[str, Any]) -> Entry:
    """Read a row of `resolved.repos`.

    Raises:
        ValueError: A key is missing or has the wrong type; names it.
    """
    return LocalFile.read(row) if "file" in row else PinnedRepo.read(row)


class UsedEngine(Part):
    """The engine of a model, as it was found when the model was first loaded: a resumed run keeps it.

    Attributes:
        identity: Model and commit, engine, device and precision, for cache keys.
        model: A server's name of the model; `device` and `dtype` are None there.
        settings: Those it was made with, of another teacher than the base.
    """

    name: str
    identity: str = ""
    model: str | None = None
    device: str | None = None
    dtype: str | None = None
    settings: dict[str, Any] | None = None


class TeacherSetup(Part):
    """How a teacher answers: decided once, without labels, and used for labels and evaluation alike.

    Attributes:
        style: How base and student score options.
        explains: Whether labels have explanations.
        recipe: How the teacher's answer is computed; its style differs if the teacher's engine returns no
            log-probabilities and has to write its choice from listed options. Early runs have none.
        samples: Number of sampled answers per generated one.
        examples: Questions with answers in the teacher's prompt.
        base_format: Parts of the base's own files that affect prompts and answers (`RunContext.format_key`); empty for
            most bases, and for labels made by earlier versions.
        style_tests: How the styles did on a sample.
        calibration: What confidence was calibrated on; see `teacher.calibration`.
        explained_share: Share of explanations of a sample that cite their passages, 0..1; None if not tested.
        settings: The section `teacher` it was decided with; None where it is decided anew if asked again.
    """

    style: str
    explains: bool = False
    recipe: Recipe = Field(default_factory=lambda known: Recipe(known["style"]))
    samples: int = 0
    examples: tuple[Example, ...] = ()
    base_format: tuple[str, ...] = ()
    style_tests: tuple[dict[str, Any], ...] = ()
    calibration: dict[str, Any] | None = None
    explained_share: float | None = None
    settings: dict[str, Any] | None = None

    @property
    def details(self) -> list[str]:
        """Further dependencies of an answer beside style and prompt; empty for the plain teacher."""
        parts = [self.recipe.identity] if self.recipe.identity else []
        if self.samples:
            parts.append(f"samples {self.samples}")
        if self.examples:
            text = json.dumps([[question.asked(), answer] for question, answer in self.examples], ensure_ascii=False)
            # labels made when some orders of the options showed a question its own example are not reused
            parts.append(f"examples {hashlib.sha256(text.encode()).hexdigest()[:16]} but the question's own")
        return [*parts, *self.base_format]

    def builder(self, plain: PromptBuilder) -> PromptBuilder:
        """The builder of the teacher's prompts."""
        return replace(plain, examples=self.examples) if self.examples else plain


class Together(Part):
    """How several teachers are combined; see `teacher.several`.

    Attributes:
        roles: The teachers that answered.
        temperature: T.
        agreement: Share of pairs of teachers that gave the same answer, 0..1; None if no question has two.
        n: Questions that at least two teachers answered.
        failed: Role -> why it did not answer, of the others.
    """

    roles: tuple[str, ...]
    temperature: float = 1.0
    agreement: float | None = None
    n: int = 0
    failed: dict[str, str] = {}


class Resolved(Part):
    """What the settings of a run were resolved to.

    Attributes:
        created: When the run began, ISO 8601.
        solo_hub: Version of this package; `python`, `platform` and `libraries` are those it ran with.
        endpoint: URL of the Hub; None if nothing was pulled.
        repos: What each role (`base`, `questions`, ...) refers to.
        chat_date: The date of chat templates that print one.
        curated: What became of the documents that questions were generated from; a section of the report.
        classes: Class names of an encoder.
        engine: The engine of the base; `engine_settings` is the section it was made with.
        engines: Engines of other teachers than the base, by role; `{role}_engine` in the file.
        setups: How each teacher answers, by role; under its role in the file.
        teachers: How several teachers are combined; None for one.
        filtered: How many labels each filter dropped.
    """

    created: str | None = None
    solo_hub: str | None = None
    python: str | None = None
    platform: str | None = None
    libraries: dict[str, str] = {}
    endpoint: str | None = None
    repos: dict[str, Entry]
    chat_date: dt.date | None = None
    curated: dict[str, Any] | None = None
    classes: tuple[str, ...] | None = None
    engine: UsedEngine | None = None
    engine_settings: dict[str, Any] | None = None
    engines: dict[str, UsedEngine] = {}
    setups: dict[str, TeacherSetup] = {}
    teachers: Together | None = None
    filtered: dict[str, int] | None = None

    @model_validator(mode="before")
    @classmethod
    def _by_role(cls, row: Any) -> Any:
        """Collect the setups and engines of teachers, which the file has beside the rest."""
        if not isinstance(row, Mapping) or not all(isinstance(key, str) for key in row):
            return row
        setups = {role: value for role, value in row.items() if is_teacher(role)}
        engines = {
            role: value
            for key, value in row.items()
            if (role := key.removesuffix("_engine")) != key and is_teacher(role)
        }
        rest = {key: value for key, value in row.items() if not is_teacher(key.removesuffix("_engine"))}
        return {"setups": setups, "engines": engines, **rest}

    @field_validator("created")
    @classmethod
    def _is_time(cls, value: str | None) -> str | None:
        if value is not None:
            dt.datetime.fromisoformat(value)
        return value

    def to_row(self) -> dict[str, Any]:
        """Return it as JSON types, as in the file."""
        row = super().to_row()
        engines = {f"{role}_engine": engine for role, engine in row.pop("engines", {}).items()}
        setups = row.pop("setups", {})
        later = {name: row.pop(name) for name in ("teachers", "filtered") if name in row}
        return {**row, **engines, **setups, **later}

    @property
    def versions(self) -> dict[str, str]:
        """Of everything the run was made with."""
        own = {"solo-hub": self.solo_hub, "Python": self.python, "platform": self.platform}
        return {name: value for name, value in {**own, **self.libraries}.items() if value}

    @property
    def style(self) -> str:
        """How base and student score options.

        Raises:
            KeyError: There are no labels yet.
        """
        return self.setups["teacher"].style
