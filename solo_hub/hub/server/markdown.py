"""Markdown from strangers as HTML that is safe to show on this server's own pages."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

MAX_MARKDOWN = 512 * 1024  # characters; longer cards are shown cut


def render(text: str, *, files: str = "") -> str:
    """Render Markdown; raw HTML in it goes through the same sieve as what Markdown makes.

    The sieve knows a list of allowed tags and attributes: no script, style, form, frame, event handler, and no URL
    but http, https and mailto.

    Args:
        text: The Markdown.
        files: URL that relative image addresses are meant to start from, with a slash at its end.
    """
    import nh3

    try:
        parser = _parser()
        tokens = parser.parse(text[:MAX_MARKDOWN])
        for token in [child for each in tokens for child in each.children or ()]:
            source = token.attrGet("src") if token.type == "image" else None
            if files and isinstance(source, str) and not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:|[/#]", source):
                token.attrSet("src", files + source)
        html = parser.renderer.render(tokens, parser.options, {})
    except RecursionError:  # deeply nested quotes
        return ""
    return nh3.clean(
        html,
        attributes={**nh3.ALLOWED_ATTRIBUTES, "code": {"class"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="nofollow noopener noreferrer",
    )


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": True, "maxNesting": 50}).enable(["table", "strikethrough"])
