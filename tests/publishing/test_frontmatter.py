from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solo_hub.core.errors import InputError
from solo_hub.publishing import frontmatter


def test_writes_what_it_reads_and_leaves_out_what_is_empty():
    block = frontmatter.write({"license": "mit", "language": [], "tags": ["a"], "license_name": None}, "model")
    assert block == "---\nlicense: mit\ntags:\n- a\n---\n"
    assert frontmatter.split(block + "\ntext\n") == ({"license": "mit", "tags": ["a"]}, "\ntext\n")


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_a_misspelt_key_is_an_error_that_names_the_right_one(kind):
    with pytest.raises(ValueError, match="Did you mean 'license'"):
        frontmatter.write({"licence": "mit"}, kind)


@settings(deadline=None, max_examples=60)
@given(st.text())
def test_any_text_as_a_value_reads_back_or_is_refused(text):
    try:
        block = frontmatter.write({"pretty_name": text, "license": "mit"}, "dataset")
    except ValueError:
        return  # text YAML cannot carry (a lone surrogate); never a block that means something else
    data, rest = frontmatter.split(block)
    assert data.get("pretty_name", "") == text
    assert data["license"] == "mit"
    assert rest == ""


@pytest.mark.parametrize("card", ["", "no block", "---\nlicense: mit\n", "---\n- a\n---\n", "---\n{\n---\n"])
def test_a_card_without_a_readable_block_is_refused(card):
    with pytest.raises(InputError, match="YAML"):
        frontmatter.split(card)


def test_unknown_keys_are_named():
    assert frontmatter.unknown_keys({"license": "mit", "licence": "mit"}, "model") == ["licence"]
    assert frontmatter.unknown_keys({}, "model") == []


def test_a_text_of_several_lines_cannot_end_the_block():
    """Readers look for a line of three hyphens; some allow blanks before it."""
    text = "one\n---\nlicense: mit\n---\n  ---\ntwo"
    block = frontmatter.write({"license": "mit", "language": [text]}, "model")
    assert [line for line in block.splitlines() if line.strip() == "---"] == ["---", "---"]
    assert frontmatter.split(block)[0]["language"] == [text]
