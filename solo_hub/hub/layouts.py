"""Which files of a dataset repo belong to which split: by its card's `configs`, else by folder and file names.

The rules are those of the Hub's documentation ("Structure your repository" and "Manual configuration"), for the
supported formats. Splits are named `SPLIT`, or `CONFIG/SPLIT` if a dataset has several configurations and no default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import translate
from pathlib import Path
from typing import Any

import yaml

from solo_hub.core.errors import InputError
from solo_hub.core.parsing import parse_yaml
from solo_hub.hub.formats import FORMATS, find_format
from solo_hub.hub.text_files import plain_name

# Keywords for splits in file and folder names, as used by the Hub.
_KEYWORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SHARD = re.compile(r"^data/(?P<split>\w+(?:\.\w+)*)-\d{5}-of-\d{5}\.[^/]+$")
_CONVERTED = re.compile(r"^(?P<config>[^/]+)/(?:partial-)?(?P<split>[^/]+)/\d{4}\.parquet$")
_SEPARATED = r"(?:^|[/._ \-]|(?<=\d))(?:{words})(?:$|[/._ \-]|(?=\d))"
# Common files that are not data.
_NOT_DATA = frozenset(
    {"config.json", "dataset_dict.json", "dataset_info.json", "dataset_infos.json", "state.json", "requirements.txt"}
)
# Supported keys of a card's configuration; any other would change how the files are read.
_CONFIG_KEYS = frozenset({"config_name", "data_files", "data_dir", "default", "description", "version", "features"})

Splits = dict[str, list[Path]]


def splits_of(folder: Path) -> Splits:
    """Data files of every split of a dataset folder, in order.

    Raises:
        InputError: The folder has no supported data files, or its card is invalid.
    """
    files, configs = _data_files(folder), _configs(_card_metadata(folder))
    if not files:
        scripts = [path.name for path in folder.glob("*.py")]
        hint = (
            "Dataset scripts are not supported: try the revision refs/convert/parquet."
            if scripts
            else "Check the repo."
        )
        raise InputError(f"has no data files ({', '.join(FORMATS)}).", file=str(folder), hint=hint)
    if configs:
        return _named_by_card(folder, configs, files)
    return _named_by_path(files)


def splits_by_name(paths: Iterable[str], card: Mapping[str, Any]) -> Splits:
    """Data files of every split of a remote dataset, by the same rules, from file names and card alone.

    Args:
        paths: Paths of all files in the repo.
        card: Metadata of its card.

    Returns:
        The splits; empty if there are no data files.

    Raises:
        InputError: The card uses an unsupported key, or names missing files.
    """
    files, configs = {path: Path(path) for path in sorted(paths) if _is_data(Path(path))}, _configs(card)
    if not files:
        return {}
    return _named_by_card(Path(), configs, files) if configs else _named_by_path(files)


def has_data_files(folder: Path) -> bool:
    """Whether a folder contains data files; otherwise it may contain documents."""
    return bool(_data_files(folder))


def _data_files(folder: Path) -> dict[str, Path]:
    """Supported data files by their path in the repo, without hidden ones and the Hub's own."""
    found = ((path.relative_to(folder), path) for path in sorted(folder.rglob("*")))
    return {relative.as_posix(): path for relative, path in found if _is_data(relative) and path.is_file()}


def _is_data(relative: Path) -> bool:
    hidden = any(part.startswith((".", "__")) for part in relative.parts)
    return not hidden and relative.name not in _NOT_DATA and plain_name(relative).endswith(tuple(FORMATS))


def card_class_names(folder: Path, split: str | None, column: str) -> tuple[str, ...]:
    """Class names of a column according to the card's `dataset_info`, in label order.

    Args:
        folder: The dataset.
        split: `SPLIT`, or `CONFIG/SPLIT` to choose among several configurations.
        column: The column.
    """
    dataset_info = _card_metadata(folder).get("dataset_info")
    infos = [
        info for info in (dataset_info if isinstance(dataset_info, list) else [dataset_info]) if isinstance(info, dict)
    ]
    config = (split or "").rpartition("/")[0] or "default"
    ordered = sorted(infos, key=lambda info: str(info.get("config_name", "default")) != config)
    for info in ordered[:1]:
        features = info.get("features")
        for feature in features if isinstance(features, list) else ():
            if isinstance(feature, dict) and feature.get("name") == column:
                return _names_of(feature)
    return ()


def _names_of(feature: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of a `class_label` feature: a list, or a mapping from label number to name."""
    kind = feature.get("dtype")
    label = kind.get("class_label") if isinstance(kind, dict) else None
    names = label.get("names") if isinstance(label, dict) else None
    if isinstance(names, dict):
        numbered = {str(number): name for number, name in names.items()}
        names = [numbered.get(str(number)) for number in range(len(numbered))]
    if not isinstance(names, list) or None in names:
        return ()
    return tuple(map(str, names))


def _card_metadata(folder: Path) -> Mapping[str, Any]:
    """The YAML front matter of a dataset's card; empty if there is none."""
    card = folder / "README.md"
    if not card.is_file():
        return {}
    match = re.match(r"\A\ufeff?---\s*\n(.*?\n)---\s*(?:\n|\Z)", card.read_text("utf-8", errors="replace"), re.DOTALL)
    if match is None:
        return {}
    try:
        metadata = parse_yaml(match[1])
    except yaml.YAMLError as error:
        raise InputError("the card's metadata is not valid YAML.", file=str(card), hint="Fix it.") from error
    return metadata if isinstance(metadata, dict) else {}


def _configs(card: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The card's configurations that name data files."""
    return [
        c for c in _as_list(card.get("configs")) if isinstance(c, dict) and (c.get("data_files") or c.get("data_dir"))
    ]


def _named_by_card(folder: Path, configs: list[Mapping[str, Any]], files: Mapping[str, Path]) -> Splits:
    named: dict[str, Splits] = {}
    for config in configs:
        unknown = sorted(set(map(str, config)) - _CONFIG_KEYS)
        if unknown:
            raise InputError(
                f"the card's configuration uses '{unknown[0]}', which is not supported.",
                file=str(folder / "README.md"),
                hint="Use a Parquet copy, such as the revision refs/convert/parquet.",
            )
        root = str(config.get("data_dir") or "").strip("/")
        inside = {p.removeprefix(root).lstrip("/"): f for p, f in files.items() if not root or p.startswith(f"{root}/")}
        if not config.get("data_files"):
            splits = _named_by_path(inside)
        else:
            splits = {}
            for split, patterns in _patterns(config["data_files"]):
                splits.setdefault(split, []).extend(_matching(patterns, inside))
        named[str(config.get("config_name", "default"))] = {split: paths for split, paths in splits.items() if paths}
    defaults = [str(c.get("config_name", "default")) for c in configs if c.get("default") is True]
    chosen = defaults or [name for name in named if name == "default"] or (list(named) if len(named) == 1 else [])
    result = {f"{name}/{split}": paths for name, splits in named.items() for split, paths in splits.items()}
    # Splits of the default (or only) configuration have plain names.
    plain = named[chosen[0]] if chosen else {}
    result = {**plain, **({} if len(named) == 1 else result)}
    if not result:
        raise InputError("none of the data files named in the card exist.", file=str(folder), hint="Check the repo.")
    return result


def _patterns(data_files: Any) -> Iterable[tuple[str, list[str]]]:
    """Normalise the card's `data_files` (one pattern, several, or by split) to (split, patterns)."""
    items = _as_list(data_files)
    if items and all(isinstance(item, dict) and "split" in item for item in items):
        return [(str(item["split"]), _as_list(item.get("path"))) for item in items]
    return [("train", items)]


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _matching(patterns: Iterable[Any], files: Mapping[str, Path]) -> list[Path]:
    """Files that match each pattern in turn. `*` stays within a folder, `**` does not; a folder means all its files."""
    matches: dict[str, Path] = {}
    for pattern in patterns:
        text = str(pattern).removeprefix("./").rstrip("/")
        regex = _glob(text)
        matches.update({p: f for p, f in files.items() if regex.fullmatch(p) or p.startswith(f"{text}/")})
    return list(matches.values())


def _glob(pattern: str) -> re.Pattern[str]:
    """Translate a glob to a regular expression; the standard library's `*` also matches slashes."""
    *folders, last = pattern.split("/")
    parts = ["(?:[^/]+/)*" if part == "**" else f"{_within(part)}/" for part in folders]
    return re.compile("".join(parts) + (".*" if last == "**" else _within(last)), re.DOTALL)


def _within(part: str) -> str:
    return translate(part).removeprefix("(?s:")[:-3].replace(".*", "[^/]*")


def _named_by_path(files: Mapping[str, Path]) -> Splits:
    """Splits by file and folder names: the Hub's conversions, shards, keywords; otherwise all is `train`."""
    named = _by_pattern(_CONVERTED, files, every=True) or _by_pattern(_SHARD, files)
    for part in (lambda path: str(Path(path).parent), lambda path: Path(path).name):
        named = named or _by_keyword(part, files)
    named = named or {"train": list(files.values())}
    return {split: _of_one_format(paths) for split, paths in named.items() if paths}


def _by_pattern(pattern: re.Pattern[str], files: Mapping[str, Path], *, every: bool = False) -> Splits:
    """Splits by the groups `split` and `config` of a pattern; empty if `every` file must match and one does not."""
    fits = {path: match.groupdict() for path in files if (match := pattern.match(path))}
    if every and len(fits) < len(files):
        return {}
    configs = {groups.get("config") for groups in fits.values()}
    splits: Splits = {}
    for path, groups in fits.items():
        name = groups["split"] if len(configs) == 1 else f"{groups['config']}/{groups['split']}"
        splits.setdefault(name, []).append(files[path])
    return splits


def _by_keyword(part: Callable[[str], str], files: Mapping[str, Path]) -> Splits:
    """Splits by a keyword such as `train`, delimited in the name."""
    splits = {}
    for split, words in _KEYWORDS.items():
        regex = re.compile(_SEPARATED.format(words="|".join(words)))
        splits[split] = [file for path, file in files.items() if regex.search(part(path))]
    return {split: paths for split, paths in splits.items() if paths}


def _of_one_format(files: list[Path]) -> list[Path]:
    """Keep the files of one format, the first of `FORMATS` that occurs; the others are notes beside the data."""
    order = list(FORMATS.values())
    best = min(order.index(find_format(file)) for file in files)
    return [file for file in files if order.index(find_format(file)) == best]
