"""The configuration of a run: all settings, read from YAML, overridden and validated.

A configuration is read from YAML (a packaged preset or a file, with `--set key=value` on top), validated strictly (an
unknown key is an error that names the nearest one) and frozen. `--help`, the documentation and a JSON schema are
generated from the descriptions in `settings`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from solo_hub.core.errors import ConfigError, nearest
from solo_hub.core.parsing import DuplicateKeyError, check_writable, parse_yaml
from solo_hub.core.redaction import check_address, scrub
from solo_hub.core.report_settings import EvaluationSettings, PublishSettings
from solo_hub.core.settings import (
    CurationSettings,
    EngineSettings,
    FilterSettings,
    KnowledgeSettings,
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
        "run", description="Name of the run and of its folder.", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
    )
    base: str = Field("HuggingFaceTB/SmolLM2-135M-Instruct", description="Base model repo (OWNER/NAME[@REVISION]).")
    seed: int = Field(
        0, ge=0, lt=2**31, description="Random seed: sampling, shuffling, adapter initialisation, dropout."
    )
    hub: str | None = Field(
        None, description="Hub: local (embedded, no network) or a URL; the Hugging Face Hub when empty."
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
        """The question writers of the run; empty if the user supplies all questions."""
        if self.curation.writers is not None:
            return self.curation.writers
        return () if self.task.questions else ("cloze",)

    @property
    def subject(self) -> str:
        """What the run is about, for repo names and reports: its name; unnamed, that of its questions or documents."""
        source = self.task.questions or self.knowledge.source
        if self.name != type(self).model_fields["name"].default or not source:
            return self.name
        return Path(source.partition("@")[0]).name.partition(".")[0] or self.name

    @field_validator("hub")
    @classmethod
    def _check_hub(cls, value: str | None) -> str | None:
        """Check the URL's form only; whether it is a Hub shows when it is opened."""
        return check_address(value, "HF_TOKEN") if value and ("/" in value or "@" in value) else value

    @model_validator(mode="before")
    @classmethod
    def _accept_version(cls, data: Any) -> Any:
        """Accept `config_version` in files, and empty sections."""
        if isinstance(data, dict) and "config_version" in data:
            data = dict(data)
            version = data.pop("config_version")
            if version != CONFIG_VERSION:
                raise ValueError(f"unsupported config_version {version}; this solo-hub reads version {CONFIG_VERSION}")
        if isinstance(data, dict):  # a section whose lines are all commented out is an empty one
            sections = [name for name, info in cls.model_fields.items() if isinstance(info.default, Section)]
            data = {key: {} if value is None and key in sections else value for key, value in data.items()}
        return data


def presets() -> list[str]:
    """Names of the packaged configurations."""
    folder = resources.files("solo_hub") / "presets"
    return sorted(Path(item.name).stem for item in folder.iterdir() if item.name.endswith(".yaml"))


def read_preset(name: str) -> dict[str, Any]:
    """Read a preset's settings.

    Raises:
        ConfigError: Unknown preset.
    """
    if name not in presets():
        raise ConfigError(f"Unknown preset '{name}'.", hint=nearest(name, presets()))
    return _parse_yaml((resources.files("solo_hub") / "presets" / f"{name}.yaml").read_text("utf-8"), f"preset {name}")


def read_file(path: Path) -> dict[str, Any]:
    """Read settings from a YAML file.

    Raises:
        ConfigError: The file is missing, unreadable, or not a mapping.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"Cannot read the configuration '{path}': {reason}.", hint="Pass a YAML file or the name of a preset."
        ) from error
    return _parse_yaml(text, str(path))


def _parse_yaml(text: str, origin: str) -> dict[str, Any]:
    try:
        data = parse_yaml(text, unique_keys=True)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        raise ConfigError(
            f"{origin} is not valid YAML{line}: {getattr(error, 'problem', None) or error}.",
            hint="Keep one of them." if isinstance(error, DuplicateKeyError) else "Check the indentation there.",
        ) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{origin} is a {type(data).__name__}, not a mapping.", hint="Write `key: value` lines.")
    return data


def override(data: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Apply `key=value` assignments, e.g. `student.epochs=5`; values are read as YAML.

    Returns:
        A new mapping; `data` is not modified.

    Raises:
        ConfigError: An assignment has no `=`, or sets a key inside something that is not a section.
    """
    result = copy.deepcopy(data)
    for assignment in assignments:
        key, separator, raw = assignment.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"--set '{assignment}' has no value.", hint="Write it as --set student.epochs=5.")
        try:
            value = parse_yaml(raw, unique_keys=True)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {key}: cannot read the value '{raw}'.", hint="Quote it as YAML would.") from error
        put(result, key.strip(), value)
    return result


def put(data: dict[str, Any], dotted: str, value: Any) -> None:
    """Set `a.b.c` in nested mappings, creating sections as needed."""
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


def untrusted_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a run published by somebody else, without those its publisher must not decide on this machine.

    Running a model repo's code, the servers that receive questions and documents, the environment variables whose
    values are sent there, and the local file shown to the teacher are the user's decision. An embedder behind servers
    is replaced by the same model in this process.

    >>> untrusted_settings({"engine": {"name": "openai", "url": "http://example.org", "token_variable": "AWS_SECRET"}})
    {'engine': {'name': 'openai', 'trust_remote_code': False}, 'knowledge': {}}

    Raises:
        ConfigError: The settings are invalid.
    """
    engine, knowledge, teacher = (settings.get(name) or {} for name in ("engine", "knowledge", "teacher"))
    if not (isinstance(engine, Mapping) and isinstance(knowledge, Mapping) and isinstance(teacher, Mapping)):
        raise ConfigError("The published settings are invalid: a section is not a mapping.", hint="Use another repo.")
    served = knowledge.get("embedder_options") or knowledge.get("embedder_urls")  # the latter in earlier versions
    removed = {"embedder_options", "embedder_urls", "embedder_token", *(["embedder"] if served else [])}
    return {
        **settings,
        "engine": _untrusted_engine(engine),
        "knowledge": {key: value for key, value in knowledge.items() if key not in removed},
        **({"teacher": _untrusted_teacher(teacher)} if teacher else {}),
    }


def _untrusted_teacher(teacher: Mapping[str, Any]) -> dict[str, Any]:
    """The section `teacher` without its examples, and without the servers of its models."""
    kept = {key: value for key, value in teacher.items() if key != "examples"}
    models = kept.get("base")  # one alone may stand without a list
    if isinstance(models, list | tuple):
        return {**kept, "base": [_untrusted_model(model) for model in models]}
    return {**kept, "base": _untrusted_model(models)} if "base" in kept else kept


def _untrusted_model(model: Any) -> Any:
    if not isinstance(model, Mapping) or not isinstance(model.get("engine"), Mapping):
        return model
    return {**model, "engine": _untrusted_engine(model["engine"])}


def _untrusted_engine(engine: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in engine.items() if key not in ("url", "token_variable")}
    return {**kept, "trust_remote_code": False}


def build(data: Mapping[str, Any], place: str = "the configuration") -> Config:
    """Validate settings and freeze them.

    Args:
        data: Nested settings, as read from YAML.
        place: Their origin, for messages.

    Raises:
        ConfigError: The first problem in one sentence: an unknown key with the nearest known one, or an invalid value.
    """
    try:
        check_writable(data)  # what did not come from a file
        return Config.model_validate(dict(data))
    except ValidationError as error:
        problem, hint = _explain(error, place)
        raise ConfigError(problem, hint=hint) from None
    except ValueError as error:
        raise ConfigError(f"{place} contains {error}.", hint="Retype the value.") from None


S = TypeVar("S", bound=Section)


class PluginOptions(Section):
    """Options of a plugin: no value is converted from another type."""

    model_config = ConfigDict(strict=True)


class NoOptions(PluginOptions):
    """Options of a plugin that has none."""


def read_options(model: type[S], options: Mapping[str, Any], owner: str, setting: str) -> S:
    """Validate the options of a plugin and freeze them.

    Args:
        model: The known options.
        options: Options as given in the configuration.
        owner: The plugin, for messages.
        setting: The setting that holds them, for messages.

    Raises:
        ConfigError: An unknown option, with the nearest known one, or an invalid value.
    """
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"{owner}: unknown option '{name}'.", hint=nearest(name, model.model_fields)) from None
        prefix = f"'{name}' cannot be {_shown(first.get('input'))}: " if name else ""
        problem = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{owner}: {prefix}{problem}.", hint=f"Set it under `{setting}`.") from None


def _explain(error: ValidationError, place: str) -> tuple[str, str]:
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in _setting_path(first["loc"])) or "(top level)"
    if first["type"] == "extra_forbidden":
        section = _section(first["loc"][:-1])
        return f"{place}: unknown key '{path}'.", nearest(str(first["loc"][-1]), section.model_fields)
    if first["type"] == "retired":
        name = ".".join((*map(str, first["loc"]), first["msg"]))
        return f"{place}: '{name}' is no longer a setting.", first["ctx"]["instead"]
    if first["type"] == "model_type":
        return (
            f"{place}: '{path}' is a section and cannot be {_shown(first.get('input'))}.",
            "Write its settings below it, one `key: value` a line.",
        )
    value, problem = first.get("input"), first["msg"].removeprefix("Value error, ")
    hint = f"See the setting '{path}' in `solo-hub distill --help`."
    if first["type"] == "tuple_type":
        problem = "Input should be a list, [one, two]"
    elif first["type"] == "string_type" and isinstance(value, int | float | date) and first["loc"][-1] != "str":
        hint = "Put it in quotes: without, YAML reads a number, a date, or true or false."
    return f"{place}: '{path}' cannot be {_shown(value)}: {problem}.", hint


def _shown(value: Any) -> str:
    text = scrub(repr(value))  # before truncation: a truncated secret would not be recognised
    return text if len(text) <= 80 else text[:77] + "..."  # noqa: PLR2004 - one terminal line


def _setting_path(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The setting's path as the user wrote it; pydantic appends the types it tried."""
    info = Config.model_fields.get(str(location[0])) if location else None
    return location[: 2 if info is not None and isinstance(info.default, Section) else 1]


def _section(location: tuple[int | str, ...]) -> type[BaseModel]:
    section: type[BaseModel] = Config
    for part in location:
        if isinstance(part, str):  # a number is a place in a list
            section = _section_in(section.model_fields[part].annotation) or section
    return section


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The section in a setting's type, also in a list of it or where it may be empty."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section_in(part))), None)


USUAL: dict[str, tuple[float, float]] = {
    "student.learning_rate": (1e-6, 0.05),
    "student.rank": (1, 512),
    "student.epochs": (0.01, 100),
    "student.batch_size": (1, 1024),
    "student.max_grad_norm": (0.01, 100),
    "student.weight_decay": (0, 1),
    "teacher.max_new_tokens": (1, 4096),
    "evaluation.max_new_tokens": (1, 4096),
}
"""The range in which training and answering are known to work; beyond it lies more often a slip than an intention."""


def advice(config: Config) -> list[str]:
    """Sentences on settings that are valid, but far from what is known to work."""
    sentences = []
    for key, (least, most) in USUAL.items():
        section, name = key.split(".")
        value = getattr(getattr(config, section), name)
        if not least <= value <= most:
            sentences.append(f"{key}={value:g} is far from what is known to work ({least:g} to {most:g}).")
    return sentences


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
