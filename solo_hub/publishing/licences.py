"""The licence of published repos: the most restrictive one of their sources.

Not legal advice: the card lists every source with its licence, and explains the result. Identifiers are the Hub's
(hub-docs, `repositories-licenses`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from solo_hub.core.errors import InputError


@dataclass(frozen=True, slots=True)
class Terms:
    """The conditions of a licence on redistribution.

    Attributes:
        rank: Position on a scale from no conditions to many; the highest one wins.
        share_alike: Derived works must carry the same licence.
        non_commercial: No commercial use.
        own_terms: A licence text of its own, with rules of use that travel with the work.
    """

    rank: int
    share_alike: bool = False
    non_commercial: bool = False
    own_terms: bool = False


def _terms() -> dict[str, Terms]:
    known: dict[str, Terms] = {}
    permissive, custom = Terms(10), Terms(90, own_terms=True)
    scale = (
        (Terms(0), "cc0-1.0 pddl unlicense wtfpl"),
        (permissive, "mit mit-0 isc bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear zlib bsl-1.0 ncsa postgresql"),
        (permissive, "cdla-permissive-1.0 cdla-permissive-2.0 c-uda"),
        (Terms(20), "apache-2.0 afl-3.0 artistic-2.0 ecl-2.0 ms-pl etalab-2.0 ofl-1.1"),
        (Terms(30), "odc-by cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0"),
        (Terms(40, share_alike=True), "mpl-2.0 epl-1.0 epl-2.0 eupl-1.1 eupl-1.2 osl-3.0 lppl-1.3c"),
        (Terms(40, share_alike=True), "lgpl lgpl-2.1 lgpl-3.0 lgpl-lr"),
        (
            Terms(50, share_alike=True),
            "odbl cdla-sharing-1.0 gfdl cc-by-sa-3.0 cc-by-sa-4.0 gpl gpl-2.0 gpl-3.0 agpl-3.0",
        ),
        (Terms(60, non_commercial=True), "cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0"),
        (Terms(70, non_commercial=True, share_alike=True), "cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0"),
        (custom, "openrail openrail++ bigscience-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m"),
        (custom, "creativeml-openrail-m gemma llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 grok2-community"),
        (custom, "apple-amlr h-research deepfloyd-if-license"),
    )
    for rule, names in scale:
        known.update(dict.fromkeys(names.split(), rule))
    return known


KNOWN = _terms()

_FORBIDDING = ("-nd", "no-deriv", "noderiv", "no-redistribution", "all-rights-reserved", "proprietary")
"""Parts of an identifier that forbid distributing modified copies."""


@dataclass(frozen=True, slots=True)
class Source:
    """A source of a published repo.

    Attributes:
        role: `base`, `questions` or `knowledge`.
        name: Repo id or file name.
        licences: Identifiers as its card states them; empty when it states none.
        terms: Name of a custom licence (`other`), or None.
        link: Link to a custom licence, or None.
    """

    role: str
    name: str
    licences: tuple[str, ...]
    terms: str | None = None
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Licence:
    """The licence of a published repo.

    Attributes:
        id: Identifier for the card: a known one, `other` or `unknown`.
        name: For `other`: a name for it; else None.
        link: For `other`: where its text stands; None where that is our own file.
        reason: Why, in sentences for a reader.
        sources: What it was derived from.
    """

    id: str
    name: str | None
    reason: str
    sources: tuple[Source, ...]
    link: str | None = None


def derive(sources: Sequence[Source], what: str) -> Licence:
    """Derive the licence of something made from `sources`.

    Args:
        sources: Everything that went in.
        what: What is published, for the sentences: `dataset` or `adapter`.

    Raises:
        InputError: A source forbids derived works or passing it on.
    """
    for source in sources:
        _refuse_forbidden(source, what)
    stated = [(source, licence.lower()) for source in sources for licence in source.licences]
    silent = [
        source
        for source in sources
        if not source.licences or any(name.lower() == "unknown" for name in source.licences)
    ]
    unread = [(source, licence) for source, licence in stated if licence not in KNOWN and licence != "unknown"]
    if silent:
        names = _list(f"{source.name} ({source.role})" for source in silent)
        verb = "states" if len(silent) == 1 else "state"
        return Licence(
            "unknown",
            None,
            f"{names} {verb} no licence, so the licence of this {what} is unknown: ask before redistributing it.",
            tuple(sources),
        )
    if unread:
        names = _list(f"{source.name} ({source.terms or licence})" for source, licence in unread)
        named = [(source, source.terms or licence) for source, licence in unread]
        own = {(name, source.link) for source, name in named if name != "other"}
        rest = [KNOWN[licence] for _, licence in stated if licence in KNOWN]
        if len(own) == 1 and len({source for source, _ in unread}) == 1 and not any(map(_binds, rest)):
            ((name, link),) = own
            reason = f"{names} has its own terms, which apply to derived works, so this {what} carries them."
            return Licence("other", name, reason, tuple(sources), link)
        reason = (
            f"{names}: a custom licence, whose terms apply to the parts derived from it; the sources below "
            f"apply to the rest."
        )
        return Licence("other", "terms-of-the-sources", reason, tuple(sources))
    if not stated:
        return Licence("unknown", None, f"No source of this {what} states a licence.", tuple(sources))
    return _most_restrictive(stated, tuple(sources), what)


def _most_restrictive(stated: list[tuple[Source, str]], sources: tuple[Source, ...], what: str) -> Licence:
    highest = max(KNOWN[licence].rank for _, licence in stated)
    strict = [licence for _, licence in stated if KNOWN[licence].rank == highest]
    exclusive = sorted({licence for _, licence in stated if KNOWN[licence].share_alike or KNOWN[licence].own_terms})
    commercial_ban = [licence for _, licence in stated if KNOWN[licence].non_commercial]
    # an exclusive licence is incompatible with another one, and with a commercial ban it does not include itself
    if len(exclusive) > 1 or (exclusive and commercial_ban and not KNOWN[exclusive[0]].non_commercial):
        names = _list(sorted({*exclusive, *commercial_ban}))
        reason = (
            f"The sources have licences that each bind derived works ({names}); no single one covers this {what}. "
            "Each part remains under its source's terms, and all of them must be observed."
        )
        return Licence("other", "terms-of-the-sources", reason, sources)
    chosen = max(strict)  # of equally strict ones the later version, deterministically
    if len({licence for _, licence in stated}) == 1:
        return Licence(chosen, None, f"All sources carry {chosen}, and so does this {what}.", sources)
    return Licence(
        chosen, None, f"{chosen} is the most restrictive of the sources' licences, so this {what} carries it.", sources
    )


def _binds(terms: Terms) -> bool:
    """Whether a licence restricts derived works in a way that other terms may not satisfy."""
    return terms.share_alike or terms.non_commercial or terms.own_terms


def _refuse_forbidden(source: Source, what: str) -> None:
    for licence in (*source.licences, *([source.terms] if source.terms else [])):
        name = licence.lower().replace("_", "-").replace(" ", "-")
        if any(part in name for part in _FORBIDDING):
            raise InputError(
                f"{source.name} ({source.role}) is under '{licence}', which forbids distributing derived works, "
                f"so the {what} cannot be published.",
                hint="Use another source, or run without --push.",
            )


def _list(items: Iterable[str]) -> str:
    words = list(items)
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
