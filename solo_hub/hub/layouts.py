"""Which files of a dataset repo make up which split: by its card's `configs`, else by folder and file names.

The rules are those of the Hub's documentation ("Structure your repository" and "Manual configuration"), for the formats
read here. Splits are named `SPLIT`, or `CONFIG/SPLIT` where a dataset has several configurations and none is the
default.
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

# The words by which file and folder names tell their split, as the Hub knows them.
_KEYWORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SHARD = re.compile(r"^data/(?P<split>\w+(?:\.\w+)*)-\d{5}-of-\d{5}\.[^/]+$")
_CONVERTED = re.compile(r"^(?P<config>[^/]+)/(?:partial-)?(?P<split>[^/]+)/\d{4}\.parquet$")
_SEPARATED = r"(?:^|[/._ \-]|(?<=\d))(?:{words})(?:$|[/._ \-]|(?=\d))"
# Files beside the data in many repos, which are not data.
_NOT_DATA = frozenset(
    {"config.json", "dataset_dict.json", "dataset_info.json", "dataset_infos.json", "state.json", "requirements.txt"}
)
# What a card's configuration may say here; anything else would change how the files are read.
_CONFIG_KEYS = frozenset({"config_name", "data_files", "data_dir", "default", "description", "version", "features"})

Splits = dict[str, list[Path]]


def splits_of(folder: Path) -> Splits:
    """Data files of every split of a dataset folder, in order.

    Raises:
        InputError: The folder has no data files that can be read, or its card is broken.
    """
    files = _data_files(folder)
    configs = _card_configs(folder)
    if not files:
        scripts = [path.name for path in folder.glob("*.py")]
        hint = "Dataset scripts are not run: try the revision refs/convert/parquet." if scripts else "Check the repo."
        raise InputError(f"has no data files ({', '.join(FORMATS)}).", file=str(folder), hint=hint)
    if configs:
        return _named_by_card(folder, configs, files)
    return _named_by_path(files)


def splits_by_name(paths: Iterable[str], card: Mapping[str, Any]) -> Splits:
    """Data files of every split of a dataset that is not on this disk; the same rules, from names and metadata alone.

    Args:
        paths: Paths of all files in the repo.
        card: Metadata of its card.

    Returns:
        The splits; none where there are no data files.

    Raises:
        InputError: The card asks for something that is not known here, or names files that are not there.
    """
    files = {}
    for path in sorted(paths):
        parts = path.split("/")
        hidden = any(part.startswith((".", "__")) for part in parts)
        if not hidden and parts[-1] not in _NOT_DATA and path.lower().removesuffix(".gz").endswith(tuple(FORMATS)):
            files[path] = Path(path)
    configs: list[Mapping[str, Any]] = [
        c for c in card.get("configs") or () if isinstance(c, dict) and (c.get("data_files") or c.get("data_dir"))
    ]
    if not files:
        return {}
    return _named_by_card(Path(), configs, files) if configs else _named_by_path(files)


def has_data_files(folder: Path) -> bool:
    """Whether a folder holds files of rows; else it may be one of documents."""
    return bool(_data_files(folder))


def _data_files(folder: Path) -> dict[str, Path]:
    """Readable data files by their path in the repo; hidden ones and those of the Hub itself are none."""
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        hidden = any(part.startswith((".", "__")) for part in relative.parts)
        named = plain_name(path).endswith(tuple(FORMATS))
        if not hidden and path.name not in _NOT_DATA and named and path.is_file():
            found[relative.as_posix()] = path
    return found


def card_class_names(folder: Path, split: str | None, column: str) -> tuple[str, ...]:
    """Names that the card's `dataset_info` gives to the classes of a column, in the order of their numbers.

    Args:
        folder: The dataset.
        split: `SPLIT`, or `CONFIG/SPLIT`, which says whose features are meant where there are several.
        column: The column.
    """
    found = _card_metadata(folder).get("dataset_info")
    infos = [info for info in (found if isinstance(found, list) else [found]) if isinstance(info, dict)]
    config = (split or "").rpartition("/")[0] or "default"
    ordered = sorted(infos, key=lambda info: str(info.get("config_name", "default")) != config)
    for info in ordered[:1]:
        features = info.get("features")
        for feature in features if isinstance(features, list) else ():
            if isinstance(feature, dict) and feature.get("name") == column:
                return _names_of(feature)
    return ()


def _names_of(feature: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of a `class_label` feature, which are a list, or a mapping by their numbers."""
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
    """The YAML block at the top of a dataset's card; empty where there is none."""
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


def _card_configs(folder: Path) -> list[Mapping[str, Any]]:
    """The card's configurations that name data files."""
    configs = _card_metadata(folder).get("configs")
    return [c for c in configs or () if isinstance(c, dict) and (c.get("data_files") or c.get("data_dir"))]


def _named_by_card(folder: Path, configs: list[Mapping[str, Any]], files: Mapping[str, Path]) -> Splits:
    named: dict[str, Splits] = {}
    for config in configs:
        unknown = sorted(set(map(str, config)) - _CONFIG_KEYS)
        if unknown:
            raise InputError(
                f"the card asks for '{unknown[0]}' in reading its files, which is not known here.",
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
        named[str(config.get("config_name", "default"))] = {split: found for split, found in splits.items() if found}
    defaults = [str(c.get("config_name", "default")) for c in configs if c.get("default") is True]
    chosen = defaults or [name for name in named if name == "default"] or (list(named) if len(named) == 1 else [])
    result = {f"{name}/{split}": found for name, splits in named.items() for split, found in splits.items()}
    # The default's splits go by their plain names; with one configuration there are no others to tell them from.
    plain = named[chosen[0]] if chosen else {}
    result = {**plain, **({} if len(named) == 1 else result)}
    if not result:
        raise InputError("none of the data files the card names are there.", file=str(folder), hint="Check the repo.")
    return result


def _patterns(data_files: Any) -> Iterable[tuple[str, list[str]]]:
    """The card's ways to write data files - a pattern, several, or by split - as (split, patterns)."""
    items = _as_list(data_files)
    if items and all(isinstance(item, dict) and "split" in item for item in items):
        return [(str(item["split"]), _as_list(item.get("path"))) for item in items]
    return [("train", items)]


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _matching(patterns: Iterable[Any], files: Mapping[str, Path]) -> list[Path]:
    """Files of each pattern in turn. `*` stays within a folder, `**` does not; a folder means all that is in it."""
    found: dict[str, Path] = {}
    for pattern in patterns:
        text = str(pattern).removeprefix("./").rstrip("/")
        regex = _glob(text)
        found.update({p: f for p, f in files.items() if regex.fullmatch(p) or p.startswith(f"{text}/")})
    return list(found.values())


def _glob(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression: the standard library's knows no folders."""
    *folders, last = pattern.split("/")
    parts = ["(?:[^/]+/)*" if part == "**" else f"{_within(part)}/" for part in folders]
    return re.compile("".join(parts) + (".*" if last == "**" else _within(last)), re.DOTALL)


def _within(part: str) -> str:
    return translate(part).removeprefix("(?s:")[:-3].replace(".*", "[^/]*")


def _named_by_path(files: Mapping[str, Path]) -> Splits:
    """Splits by the names of files and folders: the Hub's own conversions, shards, keywords; else all is `train`."""
    named = _by_pattern(_CONVERTED, files, every=True) or _by_pattern(_SHARD, files)
    for part in (lambda path: str(Path(path).parent), lambda path: Path(path).name):
        named = named or _by_keyword(part, files)
    named = named or {"train": list(files.values())}
    return {split: _of_one_format(found) for split, found in named.items() if found}


def _by_pattern(pattern: re.Pattern[str], files: Mapping[str, Path], *, every: bool = False) -> Splits:
    """Splits by the groups `split` and `config` of a pattern; none where `every` file should fit and one does not."""
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
    """Splits by a word such as `train`, set off from the rest of the name."""
    splits = {}
    for split, words in _KEYWORDS.items():
        regex = re.compile(_SEPARATED.format(words="|".join(words)))
        splits[split] = [file for path, file in files.items() if regex.search(part(path))]
    return {split: found for split, found in splits.items() if found}


def _of_one_format(files: list[Path]) -> list[Path]:
    """Leave out notes lying beside the data: the first format of `FORMATS` that is there is the data's."""
    order = list(FORMATS.values())
    best = min(order.index(find_format(file)) for file in files)
    return [file for file in files if order.index(find_format(file)) == best]
