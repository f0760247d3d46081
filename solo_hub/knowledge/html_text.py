"""Extracts a web page's headings, sentences and table rows, without navigation, footers and scripts.

Parsed by lxml (libxml2), which closes the tags that an author may leave out. Of the parsers compared, selectolax knows
no lines and takes time quadratic in the depth of open tags, and trafilatura gives up short pages and asides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from solo_hub.core.errors import InputError, import_optional
from solo_hub.knowledge.chunking import Span, heading_span, row_sentence, sentences

SILENT = frozenset(
    """
    annotation audio button canvas datalist dialog head iframe noscript object script select style svg template textarea
    title video
    """.split()  # noqa: SIM905 - see words.STOP_WORDS
)
"""Elements whose content is not text of the page."""
INLINE = frozenset(
    """
    a abbr acronym b bdi bdo big br cite code data del dfn em font i img ins kbd label mark math mi mn mo mrow msub msup
    q rp rt ruby s samp small span strike strong sub sup time tt u var wbr
    """.split()  # noqa: SIM905 - see words.STOP_WORDS
)
"""Elements that do not end a sentence."""
HEADINGS = {f"h{level}": level for level in range(1, 7)}

_NAVIGATION_ROLES = frozenset({"navigation", "search", "menu", "menubar", "toolbar", "dialog"})
_SECTIONS = frozenset({"article", "main", "section", "blockquote"})
_NAMED = frozenset(
    """
    breadcrumb breadcrumbs copyright footer menu nav navbar navigation page-footer pager pagination related share
    sidebar site-footer site-nav social toc
    """.split()  # noqa: SIM905 - see words.STOP_WORDS
)
"""Class names and ids of navigation; such an element is left out where most of its text is links."""
_LINK_MARKS = frozenset({"headerlink", "anchor", "anchorjs-link", "skip-link"})
_NOT_IN_A_TABLE_OF_DATA = frozenset({"table", "ul", "ol", "dl", "pre", "form", "article", "section", *HEADINGS})
_LAST_LINE = 65_535  # libxml2 counts lines no further


def html_spans(text: str, file: Path) -> Iterator[Span]:
    """Headings, sentences and rows of tables of a page, with the lines they start on.

    Args:
        text: The page's source.
        file: Where it is from, for messages.

    Raises:
        InputError: Tags are nested too deeply.
        DependencyError: lxml is missing.
    """
    roots = _parse(text, file)
    boilerplate = frozenset(element for root in roots for element in _find_boilerplate(root))
    spans = _Page(boilerplate).read(roots)
    # a page that is nothing but links, or that stands in its footer, is still read
    yield from spans or (_Page(frozenset()).read(roots) if boilerplate else [])


def _parse(text: str, file: Path) -> list[Any]:
    """The roots of a page: what stands behind `</html>` is a tree of its own."""
    etree = import_optional("lxml.etree", package="lxml", extra="knowledge", purpose="Reading HTML files")
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    # the text is decoded: a declaration in it no longer holds, and the parser is told so by its own argument
    try:
        root = etree.fromstring(text.encode("utf-8", "replace"), parser) if text.strip() else None
    except etree.XMLSyntaxError:  # an empty document
        root = None
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):
        raise InputError(
            "its tags are nested too deeply.",
            file=str(file),
            hint="Open it in a browser and save it again, or remove it.",
        )
    return [] if root is None else [root, *root.itersiblings()]


def _walk(root: Any) -> Any:
    from lxml import etree

    return etree.iterwalk(root, events=("start", "end"))


def _find_boilerplate(root: Any) -> list[Any]:
    """Elements that lead around the site instead of saying something; one pass, from the leaves up.

    What holds most of the page's text, and no links mainly, is never one: its end tag is missing.
    """
    found: list[tuple[Any, int, int]] = []
    characters = 0
    open_elements: list[list[Any]] = []  # of each: characters, those of links, whether it holds a heading
    sections = headers = 0
    for event, element in _walk(root):
        tag = element.tag
        if event == "start":
            sections += tag in _SECTIONS
            headers += tag == "header" and not sections
            open_elements.append([len((element.text or "").strip()), 0, tag in HEADINGS])
            continue
        sections -= tag in _SECTIONS
        characters, links, heading = open_elements.pop()
        if tag == "a":
            links = characters
        if tag in SILENT:
            characters = links = 0
        elif _is_navigation(element, in_section=bool(sections)) or (
            2 * links > characters and (_may_be_navigation(element) or (headers and not heading))
        ):
            found.append((element, characters, links))
        headers -= tag == "header" and not sections
        if open_elements:
            outer = open_elements[-1]
            outer[0] += characters + len((element.tail or "").strip())
            outer[1] += links
            outer[2] |= heading
    # the last characters counted are the root's
    return [element for element, own, links in found if 2 * links > own or 2 * own <= characters]


def _is_navigation(element: Any, *, in_section: bool) -> bool:
    """Whether an element says by itself that it is no content."""
    role = element.get("role")
    return (
        element.tag == "nav"
        or role in _NAVIGATION_ROLES
        or (element.get("aria-hidden") == "true" and element.tag in INLINE)
        or ((element.tag == "footer" or role == "contentinfo") and not in_section)
        or (element.tag == "a" and bool(_names(element) & _LINK_MARKS))
    )


def _may_be_navigation(element: Any) -> bool:
    """Whether an element is navigation if most of it is links."""
    if element.tag in ("aside", "footer"):
        return True
    return element.tag in ("div", "ul", "ol", "section", "p", "table", "td") and bool(_names(element) & _NAMED)


def _names(element: Any) -> set[str]:
    return {*(element.get("class") or "").lower().split(), (element.get("id") or "").lower()}


class _Page:
    """Collects the text of a page.

    Args:
        left_out: Elements that are passed over.
    """

    def __init__(self, left_out: frozenset[Any]) -> None:
        self.left_out = left_out
        self.spans: list[Span] = []
        self._held: list[str] = []
        self._line = 1  # of the source, as far as it is known
        self._starts = 1  # where what is held begins
        self._skipped: Any = None

    def read(self, roots: Sequence[Any]) -> list[Span]:
        """Read trees one after the other."""
        for root in roots:
            self._read(root)
        return self.spans

    def _read(self, root: Any) -> None:
        """Read a tree; an element is gone through once, however deep it lies."""
        walk = _walk(root)
        for event, element in walk:
            if event == "start":
                self._line = max(self._line, element.sourceline or 0)
                if self._skipped is None and not self._start(element):
                    self._skipped = element
                    walk.skip_subtree()
                continue
            if element is self._skipped:
                self._skipped = None
            elif element.tag not in INLINE:
                self._flush(HEADINGS.get(element.tag, 0))
            self._add(element.tail)
        self._flush()

    def _start(self, element: Any) -> bool:
        """Begin an element; False where its content is passed over."""
        tag = element.tag
        if tag not in INLINE:
            self._flush()
        if tag in SILENT or element in self.left_out:
            return False
        if tag == "br":
            previous = element.getprevious()
            if previous is not None and previous.tag == "br" and not (previous.tail or "").strip():
                self._flush()
            self._add(" ")
        if tag == "table" and (rows := self._rows(element)):
            self.spans += rows
            return False
        self._add(element.text)
        return True

    def _add(self, text: str | None) -> None:
        if not text:
            return
        lines = text.count("\n")
        if text.strip() and not self._held:
            stripped = text.lstrip()
            self._starts = self._line + text[: len(text) - len(stripped)].count("\n")
            text = stripped
        if self._held or text.strip():
            self._held.append(text)
        self._line += lines

    def _flush(self, heading: int = 0) -> None:
        """End the piece that is being collected."""
        text, self._held = "".join(self._held), []
        if heading:
            self.spans += heading_span(text, _known(self._starts), heading)
        else:
            self.spans += [Span(span.text, _known(self._starts + span.place - 1)) for span in sentences(text)]

    def _rows(self, table: Any) -> list[Span]:
        """A sentence for each row of a table of data; none for one that only lays out the page."""
        if table.get("role") in ("presentation", "none"):
            return []
        if any(element.tag in _NOT_IN_A_TABLE_OF_DATA for element in table.iterdescendants()):
            return []
        header: list[str] = []
        spans: list[Span] = []
        widest = 0
        for row in table.iter("caption", "tr"):
            line = _known(row.sourceline or self._line)
            if row.tag == "caption":
                spans += [Span(span.text, line) for span in sentences(self._cell(row))]
                continue
            elements = [cell for cell in row if cell.tag in ("td", "th")]
            cells = [self._cell(cell) for cell in elements]
            widest = max(widest, len(cells))
            if not header and elements and (all(c.tag == "th" for c in elements) or row.getparent().tag == "thead"):
                header = cells
            elif any(cells):
                spans.append(Span(row_sentence(header, cells), line))
        if header and not spans:
            spans = [Span(row_sentence([], header), _known(table.sourceline or self._line))]
        return spans if widest > 1 else []

    def _cell(self, cell: Any) -> str:
        parts: list[str] = []
        walk = _walk(cell)
        for event, element in walk:
            if element.tag not in INLINE or element.tag == "br":
                parts.append(" ")
            if event == "start":
                if element.tag in SILENT or element in self.left_out:
                    walk.skip_subtree()
                else:
                    parts.append(element.text or "")
            elif element is not cell:
                parts.append(element.tail or "")
        return " ".join("".join(parts).split())


def _known(line: int) -> int:
    """A line, or 0 where it is beyond those that are counted."""
    return line if line < _LAST_LINE else 0
