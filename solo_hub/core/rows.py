"""Frozen rows: dataclasses that convert losslessly to and from one flat JSON row, checked by their types when read."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from solo_hub.core.errors import InputError

_SCALARS = frozenset({str, int, float, bool, type(None)})
"""Types that are JSON types already."""


@dataclass(frozen=True, slots=True)
class Record:
    """A frozen row: `to_row` converts it to JSON types, `from_row` back."""

    rare: ClassVar[tuple[tuple[str, Any], ...]] = ()
    """Fields that a row lacks where they have this value."""

    def to_row(self) -> dict[str, Any]:
        """Return the record as JSON types, in field order."""
        row = {name: getattr(self, name) for name in names_of(type(self))}  # type: ignore[arg-type]
        for name, value in self.rare:
            if row[name] == value:
                del row[name]
        return {name: value if type(value) in _SCALARS else _plain(value) for name, value in row.items()}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Read a row written by `to_row`; unknown keys are ignored so that newer files can be read.

        Raises:
            InputError: A required field is missing or has the wrong type.
        """
        values: dict[str, Any] = {}
        for name, kind, fits, needed in _plan(cls):  # type: ignore[arg-type]
            if name in row:
                value = row[name]
                if type(value) is list:
                    value = tuple(value if kind is None else map(kind.from_row, value))
                elif type(value) is dict and kind is not None:
                    value = kind.from_row(value)
                if not fits(value):
                    raise InputError(
                        f"'{name}' of a {cls.__name__} row cannot be {_short(value)}.",
                        hint="Was the file edited?",
                    )
                values[name] = value
            elif needed:
                raise InputError(
                    f"a {cls.__name__} row has no '{name}'.", hint="Was the file written by another version?"
                )
        return cls(**values)


@functools.cache
def names_of(cls: type) -> tuple[str, ...]:
    """Names of a dataclass's fields, in their declared order."""
    return tuple(f.name for f in dataclasses.fields(cls))


@functools.cache
def _plan(cls: type) -> tuple[tuple[str, type[Record] | None, Callable[[Any], bool], bool], ...]:
    """How a row is read: each field's name, the record in it, the check of its value, and whether it is required.

    Cached: calling `dataclasses.fields` for each of a million rows takes as long as reading their JSON.
    """
    fits, hints = checks(cls), typing.get_type_hints(cls)
    return tuple(
        (
            f.name,
            _record_in(hints[f.name]),
            fits[f.name],
            f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING,
        )
        for f in dataclasses.fields(cls)
    )


def _record_in(kind: Any) -> type[Record] | None:
    """The record in a field's type, also in a tuple of it or where it may be missing."""
    if isinstance(kind, type) and issubclass(kind, Record):
        return kind
    return next((found for part in typing.get_args(kind) if (found := _record_in(part))), None)


@functools.cache
def checks(cls: type) -> dict[str, Callable[[Any], bool]]:
    """A type check for each field of a dataclass, derived from its annotation."""
    hints = typing.get_type_hints(cls)
    return {f.name: _check_of(hints[f.name]) for f in dataclasses.fields(cls)}


def _check_of(kind: Any) -> Callable[[Any], bool]:
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        return _check_of_tuple(arguments[0])
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        either = [_check_of(part) for part in arguments if part is not type(None)]
        if len(either) == 1 and len(arguments) > 1:
            only = either[0]
            return lambda value: value is None or only(value)
        return lambda value: any(check(value) for check in either) or (value is None and type(None) in arguments)
    if kind is float:
        return _is_number
    if kind is int:
        return lambda value: isinstance(value, int) and not isinstance(value, bool)
    origin = typing.get_origin(kind) or kind
    return lambda value: isinstance(value, origin)


def _check_of_tuple(kind: Any) -> Callable[[Any], bool]:
    """A type check for homogeneous tuples, with a fast path for exact types: it matters for a million rows."""
    inner = _check_of(kind)
    if kind is float:
        return lambda value: (
            isinstance(value, tuple)
            and (all(map(math.isfinite, value)) if set(map(type, value)) <= {float} else all(map(inner, value)))
        )
    usual = {kind}
    return lambda value: isinstance(value, tuple) and (set(map(type, value)) <= usual or all(map(inner, value)))


def _is_number(value: Any) -> bool:
    if type(value) is not float and (not isinstance(value, int | float) or isinstance(value, bool)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer too large for a float
        return False


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."  # noqa: PLR2004 - within one line of a terminal


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_row()
    if isinstance(value, tuple | list):
        if _SCALARS.issuperset(map(type, value)):
            return list(value)
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value
