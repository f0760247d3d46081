"""Repo cards: the YAML front matter of a README, checked as the Hub checks it and turned into tags."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from solo_hub.core.parsing import PlainLoader
from solo_hub.hub.server import limits

if TYPE_CHECKING:
    from solo_hub.hub.server.repos import RepoType

_FRONT_MATTER = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n(.*?)(?:\r?\n)?---[ \t]*(?:\r?\n|\Z)", re.DOTALL)

LICENSES = frozenset({
    "apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m", "bigscience-bloom-rail-1.0",
    "bigcode-openrail-m", "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd", "bsd-2-clause", "bsd-3-clause",
    "bsd-3-clause-clear", "c-uda", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0",
    "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0",
    "cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "wtfpl", "ecl-2.0", "epl-1.0", "epl-2.0",
    "etalab-2.0", "eupl-1.1", "eupl-1.2", "agpl-3.0", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1",
    "lgpl-3.0", "isc", "h-research", "intel-research", "lppl-1.3c", "ms-pl", "apple-ascl", "apple-amlr", "mpl-2.0",
    "odc-by", "odbl", "openmdw-1.0", "openrail++", "osl-3.0", "postgresql", "ofl-1.1", "ncsa", "unlicense", "zlib",
    "pddl", "lgpl-lr", "deepfloyd-if-license", "fair-noncommercial-research-license", "llama2", "llama3",
    "llama3.1", "llama3.2", "llama3.3", "llama4", "gemma", "grok2-community", "unknown", "other",
})  # fmt: skip

# Keys whose values become ``key:value`` tags, by repo type.
_PREFIXED = {
    "model": ("license", "base_model"),
    "dataset": (
        "annotations_creators", "language_creators", "language", "license", "multilinguality", "size_categories",
        "source_datasets", "task_categories", "task_ids",
    ),
    "space": ("license",),
}  # fmt: skip


class _BoundedLoader(PlainLoader):
    """Dates stay text: they must survive the way through JSON as they were written."""


_BoundedLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in PlainLoader.yaml_implicit_resolvers.items()
}


def split(content: str) -> tuple[str | None, str]:
    """The front matter's text, None without one, and the rest of the card."""
    found = _FRONT_MATTER.match(content)
    return (found.group(1), content[found.end() :]) if found else (None, content)


def load(content: str) -> tuple[dict[str, Any] | None, str | None]:
    """The metadata of a card, or what is wrong with it; both None when the card has none."""
    text, _ = split(content)
    if text is None:
        return None, None
    if len(text) > limits.MAX_YAML:
        return None, "Invalid YAML metadata: too long"
    try:
        data = yaml.load(text, Loader=_BoundedLoader)  # noqa: S506  a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        return None, f"Invalid YAML metadata: {problem}"
    if data is None:
        return {}, None
    if not isinstance(data, dict):
        return None, "Invalid YAML metadata: a mapping of keys to values expected"
    return _plain(data), None


def validate(content: str, repo_type: RepoType) -> tuple[list[str], list[str]]:
    """Errors and warnings about a card, in the Hub's words."""
    data, problem = load(content)
    if problem:
        return [problem], []
    if not data:
        return [], ["empty or missing yaml metadata in repo card"]
    errors = []
    for value in strings(data.get("license")):
        if value not in LICENSES:
            errors.append(f'"license" must be one of [{", ".join(sorted(LICENSES))}]')
            break
    if "license" in data and data["license"] is not None and not isinstance(data["license"], (str, list)):
        errors.append('"license" must be a string or an array')
    if data.get("tags") is not None and not isinstance(data["tags"], (str, list)):
        errors.append('"tags" must be an array')
    if repo_type == "model":
        errors += _check_model(data)
    if repo_type == "space":
        errors += _check_space(data)
    return errors, []


def _check_model(data: dict[str, Any]) -> list[str]:
    errors = []
    index = data.get("model-index")
    if index is not None:
        if not isinstance(index, list):
            errors.append('"model-index" must be an array')
        else:
            for number, model in enumerate(index):
                if not isinstance(model, dict):
                    errors.append(f'"model-index[{number}]" must be an object')
                    continue
                if not isinstance(model.get("name"), str):
                    errors.append(f'"model-index[{number}].name" is required')
                errors += _check_results(model.get("results"), f"model-index[{number}].results")
    errors += [
        f'"{key}" must be a string'
        for key in ("pipeline_tag", "library_name")
        if data.get(key) is not None and not isinstance(data[key], str)
    ]
    return errors


def _check_results(results: object, where: str) -> list[str]:
    if not isinstance(results, list):
        return [f'"{where}" must be an array']
    errors = []
    for number, result in enumerate(results):
        if not isinstance(result, dict):
            errors.append(f'"{where}[{number}]" must be an object')
            continue
        errors += [f'"{where}[{number}].{key}" is required' for key in ("task", "metrics") if key not in result]
    return errors


def _check_space(data: dict[str, Any]) -> list[str]:
    sdk = data.get("sdk")
    if sdk is not None and sdk not in ("gradio", "streamlit", "docker", "static"):
        return ['"sdk" must be one of [gradio, streamlit, docker, static]']
    return []


def tags(data: dict[str, Any] | None, repo_type: RepoType) -> list[str]:
    """The tags a repo is found by, from its card's metadata."""
    data = data or {}
    found: list[str] = []
    if repo_type == "model":
        found += strings(data.get("library_name"))
    found += strings(data.get("tags"))
    if repo_type == "model":
        found += strings(data.get("pipeline_tag"))
        found += strings(data.get("language"))
        found += [f"dataset:{name}" for name in strings(data.get("datasets"))]
    for key in _PREFIXED[repo_type]:
        found += [f"{key}:{value}" for value in strings(data.get(key))]
    found.append("region:us")  # every repo of the real Hub carries its region
    return list(dict.fromkeys(found))


def strings(value: object) -> list[str]:
    """The texts of a field that holds one or a list of them."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [item for item in value if isinstance(item, str)]
    return []


def _plain(value: Any) -> Any:
    """The same data as JSON can carry it: text keys, and no number JSON does not know."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124  NaN
        return str(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)
