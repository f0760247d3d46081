from __future__ import annotations

import pytest

from solo_hub.core.errors import InputError
from solo_hub.publishing.licences import Source, derive


def of(*licences):
    """Sources with these licences, in the roles base, questions, knowledge; None states none."""
    roles = ("base", "questions", "knowledge")
    return [
        Source(role, f"acme/{role}", (licence,) if licence else ())
        for role, licence in zip(roles, licences, strict=False)
    ]


@pytest.mark.parametrize(
    ("licences", "result"),
    [
        (("apache-2.0", "mit", "cc0-1.0"), "apache-2.0"),
        (("apache-2.0", "cc-by-4.0", "mit"), "cc-by-4.0"),
        (("apache-2.0", "cc-by-4.0", "cc-by-sa-4.0"), "cc-by-sa-4.0"),
        (("apache-2.0", "cc-by-nc-4.0", "cc-by-4.0"), "cc-by-nc-4.0"),
        (("apache-2.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"), "cc-by-nc-sa-4.0"),
        (("gemma", "cc-by-4.0", "mit"), "gemma"),
        (("mit", "mit", "mit"), "mit"),
        (("MIT", "Apache-2.0", None), "unknown"),
        (("mit", "unknown", "mit"), "unknown"),
        (("mit", "cc-by-4.0", "other"), "other"),
        (("mit", "my-own-licence", "mit"), "other"),
        # Two that each want to be the only one, or one that knows nothing of the other's ban.
        (("mit", "cc-by-sa-4.0", "gpl-3.0"), "other"),
        (("mit", "cc-by-sa-4.0", "cc-by-nc-4.0"), "other"),
        (("gemma", "cc-by-sa-4.0", "mit"), "other"),
    ],
)  # fmt: skip
def test_the_most_restrictive_licence_wins(licences, result):
    assert derive(of(*licences), "dataset").id == result


@pytest.mark.parametrize(
    "licence",
    ["cc-by-nd-4.0", "cc-by-nc-nd-4.0", "CC-BY-ND-4.0", "no-derivatives", "No Derivatives 1.0", "all rights reserved"],
)
def test_a_licence_that_forbids_derived_works_stops_the_publication(licence):
    with pytest.raises(InputError, match=r"acme/questions \(questions\) is under .* cannot be published"):
        derive(of("mit", licence, "mit"), "dataset")


def test_the_reason_names_what_is_unknown():
    found = derive([Source("questions", "mine.csv", ()), Source("base", "acme/m", ("mit",))], "dataset")
    assert "mine.csv (questions) states no licence" in found.reason


def test_other_carries_a_name_and_keeps_its_sources():
    found = derive(of("mit", "cc-by-4.0", "other"), "adapter")
    assert (found.id, found.name) == ("other", "terms-of-the-sources")
    assert [source.role for source in found.sources] == ["base", "questions", "knowledge"]


def test_a_source_under_two_licences_counts_with_both():
    assert derive([Source("base", "acme/m", ("mit", "cc-by-4.0"))], "dataset").id == "cc-by-4.0"


def test_no_sources_empty():
    assert derive([], "dataset").id == "unknown"


def test_order_of_sources_does_not_matter():
    sources = of("apache-2.0", "cc-by-sa-4.0", "mit")
    assert derive(sources, "dataset").id == derive(sources[::-1], "dataset").id == "cc-by-sa-4.0"


OWN = Source("base", "acme/base", ("other",), "acme-research", "https://example.org/terms")


def test_terms_of_one_source_are_kept_by_name_and_link():
    licence = derive([OWN, Source("questions", "q", ("apache-2.0",))], "adapter")
    assert (licence.id, licence.name, licence.link) == ("other", "acme-research", "https://example.org/terms")
    assert "acme/base (acme-research) has its own terms" in licence.reason
    unlisted = derive([Source("base", "acme/base", ("acme-1.0",))], "adapter")
    assert (unlisted.id, unlisted.name, unlisted.link) == ("other", "acme-1.0", None)


@pytest.mark.parametrize(
    "other",
    [
        Source("questions", "q", ("cc-by-sa-4.0",)),
        Source("questions", "q", ("cc-by-nc-4.0",)),
        Source("questions", "q", ("gemma",)),
        Source("questions", "q", ("other",), "their-terms", "https://example.org/theirs"),
        Source("questions", "q", ("other",)),
    ],
)
def test_terms_that_meet_others_stand_beside_them(other):
    licence = derive([OWN, other], "adapter")
    assert (licence.id, licence.name, licence.link) == ("other", "terms-of-the-sources", None)
    assert licence.sources == (OWN, other)


def test_terms_whose_name_forbids_derived_works_are_refused():
    with pytest.raises(InputError, match="forbids distributing"):
        derive([Source("base", "b", ("other",), "acme-no-derivatives")], "adapter")
