"""The configuration of a run: all settings together, read from YAML, overridden, checked and explained.

A configuration is read from YAML (a preset of the package, a file, `--set key=value` on top), checked strictly (an
unknown key is an error that names the nearest one) and frozen. `--help`, the documentation and a JSON schema come
from the descriptions in `settings`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from solo_hub.core.errors import ConfigError, nearest
from solo_hub.core.parsing import parse_yaml
from solo_hub.core.redaction import check_address, scrub
from solo_hub.core.settings import (
    CurationSettings,
    EngineSettings,
    EvaluationSettings,
    FilterSettings,
    KnowledgeSettings,
    PublishSettings,
    Section,
    SelectionSettings,
    StudentSettings,
    TaskSettings,
    TeacherSettings,
)

CONFIG_VERSION = 1


class Config(Section):
    """All settings of a run."""

    name: str = Field(
        "run", description="Name of the run; names the run folder.", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
    )
    base: str = Field("HuggingFaceTB/SmolLM2-135M-Instruct", description="Base model repo (OWNER/NAME[@REVISION]).")
    seed: int = Field(
        0, ge=0, lt=2**31, description="Seed of everything random: sampling, shuffling, initial adapter, dropout."
    )
    hub: str | None = Field(
        None, description="Hub: local (embedded, no network) or an address; the Hugging Face Hub when empty."
    )
    task: TaskSettings = TaskSettings()
    curation: CurationSettings = CurationSettings()
    knowledge: KnowledgeSettings = KnowledgeSettings()
    teacher: TeacherSettings = TeacherSettings()
    filters: FilterSettings = FilterSettings()
    selection: SelectionSettings = SelectionSettings()
    student: StudentSettings = StudentSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    engine: EngineSettings = EngineSettings()
    publish: PublishSettings = PublishSettings()

    @property
    def writers(self) -> tuple[str, ...]:
        """The question writers of the run; empty where all its questions are the user's."""
        if self.curation.writers is not None:
            return self.curation.writers
        return () if self.task.questions else ("cloze",)

    @field_validator("hub")
    @classmethod
    def _check_hub(cls, value: str | None) -> str | None:
        """Whether it is a Hub at all is seen when it is opened."""
        return check_address(value, "HF_TOKEN") if value and ("/" in value or "@" in value) else value

    @model_validator(mode="before")
    @classmethod
    def _accept_version(cls, data: Any) -> Any:
        """Let files name the format they were written for."""
        if isinstance(data, dict) and "config_version" in data:
            data = dict(data)
            version = data.pop("config_version")
            if version != CONFIG_VERSION:
                raise ValueError(f"config_version {version} is not known here (this is version {CONFIG_VERSION})")
        if isinstance(data, dict):  # a section whose lines are all commented out is an empty one
            sections = [name for name, info in cls.model_fields.items() if isinstance(info.default, Section)]
            data = {key: {} if value is None and key in sections else value for key, value in data.items()}
        return data


def presets() -> list[str]:
    """Names of the configurations that come with the package."""
    folder = resources.files("solo_hub") / "presets"
    return sorted(Path(item.name).stem for item in folder.iterdir() if item.name.endswith(".yaml"))


def read_preset(name: str) -> dict[str, Any]:
    """Read a preset's settings.

    Raises:
        ConfigError: There is no preset of that name.
    """
    if name not in presets():
        raise ConfigError(f"There is no preset '{name}'.", hint=nearest(name, presets()))
    return _parse_yaml((resources.files("solo_hub") / "presets" / f"{name}.yaml").read_text("utf-8"), f"preset {name}")


def read_file(path: Path) -> dict[str, Any]:
    """Read settings from a YAML file.

    Raises:
        ConfigError: The file is missing, unreadable, or not a mapping.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"Cannot read the configuration '{path}': {error}.", hint="Give a YAML file or a preset's name."
        ) from error
    return _parse_yaml(text, str(path))


def _parse_yaml(text: str, place: str) -> dict[str, Any]:
    try:
        data = parse_yaml(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        raise ConfigError(
            f"{place} is not valid YAML{line}: {getattr(error, 'problem', None) or error}.",
            hint="Check the indentation there.",
        ) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{place} holds a {type(data).__name__}, not settings.", hint="Write `key: value` lines.")
    return data


def override(data: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Apply `key=value` assignments, e.g. `student.epochs=5`; values are read as YAML.

    Returns:
        A new mapping; `data` is untouched.

    Raises:
        ConfigError: An assignment has no `=`, or sets a key below something that is not a section.
    """
    result = _copy(data)
    for assignment in assignments:
        key, separator, raw = assignment.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"--set '{assignment}' has no value.", hint="Write it as --set student.epochs=5.")
        try:
            value = parse_yaml(raw)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {key}: cannot read the value '{raw}'.", hint="Quote it as YAML would.") from error
        put(result, key.strip(), value)
    return result


def put(data: dict[str, Any], dotted: str, value: Any) -> None:
    """Set `a.b.c` in nested mappings, making sections on the way."""
    *sections, last = dotted.split(".")
    for name in sections:
        if data.get(name) is None:  # missing, or an empty section in a file
            data[name] = {}
        data = data[name]
        if not isinstance(data, dict):
            raise ConfigError(
                f"'{dotted}' cannot be set: '{name}' is a value, not a section.", hint="See `solo-hub distill --help`."
            )
    data[last] = value


def from_a_stranger(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a run that somebody else published, without what is not theirs to decide on this machine.

    Which code of a model repo is run, which servers are sent questions and documents, which environment variable's
    value goes along, and which file of this machine is shown to the teacher: whoever runs it says so. An embedder
    behind servers is then the same model in this process.

    >>> from_a_stranger({"engine": {"name": "openai", "url": "http://example.org", "token_variable": "AWS_SECRET"}})
    {'engine': {'name': 'openai', 'trust_remote_code': False}, 'knowledge': {}}

    Raises:
        ConfigError: They are no settings.
    """
    engine, knowledge, teacher = (settings.get(name) or {} for name in ("engine", "knowledge", "teacher"))
    if not (isinstance(engine, Mapping) and isinstance(knowledge, Mapping) and isinstance(teacher, Mapping)):
        raise ConfigError("The published settings are none: a section is no mapping.", hint="Give another repo.")
    theirs = {"embedder_urls", "embedder_token", *(["embedder"] if knowledge.get("embedder_urls") else [])}
    return {
        **settings,
        "engine": {
            **{key: value for key, value in engine.items() if key not in ("url", "token_variable")},
            "trust_remote_code": False,
        },
        "knowledge": {key: value for key, value in knowledge.items() if key not in theirs},
        **({"teacher": {key: value for key, value in teacher.items() if key != "examples"}} if teacher else {}),
    }


def _copy(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in data.items()}


def build(data: Mapping[str, Any], place: str = "the configuration") -> Config:
    """Check settings and freeze them.

    Args:
        data: Nested settings, as read from YAML.
        place: Where they come from, for messages.

    Raises:
        ConfigError: One sentence on the first problem: an unknown key with the nearest known one, or a bad value.
    """
    if (half := _half_a_character(data)) is not None:
        raise ConfigError(
            f"{place}: '{half}' holds half a character (a lone surrogate), which no file can hold.",
            hint="Write it again from its source.",
        )
    try:
        return Config.model_validate(dict(data))
    except ValidationError as error:
        raise ConfigError(*_explain(error, place)[:1], hint=_explain(error, place)[1]) from None


S = TypeVar("S", bound=Section)


class NoOptions(Section):
    """Of something that has nothing to set."""


def read_options(model: type[S], options: Mapping[str, Any], owner: str, setting: str) -> S:
    """Check the options of a selector or an objective and freeze them.

    Args:
        model: The options there are.
        options: Options as given in the configuration.
        owner: Whose they are, for messages.
        setting: Where they are given, for messages.

    Raises:
        ConfigError: An unknown option, with the nearest known one, or a value that cannot be.
    """
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"{owner}: unknown option '{name}'.", hint=nearest(name, model.model_fields)) from None
        given = f"'{name}' cannot be {_shown(first.get('input'))}: " if name else ""
        what = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{owner}: {given}{what}.", hint=f"Set it under `{setting}`.") from None


def _half_a_character(value: Any, path: str = "") -> str | None:
    r"""Where a text, a key included, cannot be encoded; None where all can.

    >>> _half_a_character({"task": {"columns": {"id": chr(0xD800)}}}), _half_a_character({"name": "a"})
    ('task.columns.id', None)
    """
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return path
        return None
    if isinstance(value, Mapping):
        named = ((key, f"{path}.{key}" if path else str(key)) for key in value)
        places = ((_half_a_character(key, name) or _half_a_character(value[key], name)) for key, name in named)
    elif isinstance(value, list | tuple):
        places = (_half_a_character(item, path) for item in value)
    else:
        return None
    return next((place for place in places if place is not None), None)


def _explain(error: ValidationError, place: str) -> tuple[str, str]:
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in _known(first["loc"])) or "(top)"
    if first["type"] == "extra_forbidden":
        section = _section(first["loc"][:-1])
        return f"{place}: unknown key '{path}'.", nearest(str(first["loc"][-1]), section.model_fields)
    return (
        f"{place}: '{path}' cannot be {_shown(first.get('input'))}: {first['msg'].removeprefix('Value error, ')}.",
        f"See the setting '{path}' in `solo-hub distill --help`.",
    )


def _shown(value: Any) -> str:
    text = scrub(repr(value))  # before it is cut: half a secret is not found any more
    return text if len(text) <= 80 else text[:77] + "..."  # noqa: PLR2004 - one terminal line


def _known(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """A setting's place as the user wrote it; behind it pydantic names the types it tried."""
    info = Config.model_fields.get(str(location[0])) if location else None
    return location[: 2 if info is not None and isinstance(info.default, Section) else 1]


def _section(location: tuple[int | str, ...]) -> type[BaseModel]:
    section: type[BaseModel] = Config
    for part in location:
        annotation = section.model_fields[str(part)].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            section = annotation
    return section


def describe() -> list[tuple[str, str, str]]:
    """List every setting as (dotted key, default, description), in the order of the file."""
    rows: list[tuple[str, str, str]] = []

    def walk(section: type[BaseModel], prefix: str) -> None:
        for name, info in section.model_fields.items():
            annotation = info.annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                walk(annotation, f"{prefix}{name}.")
            else:
                default = info.get_default(call_default_factory=True)
                rows.append((f"{prefix}{name}", "" if default is None else str(default), info.description or ""))

    walk(Config, "")
    return rows
