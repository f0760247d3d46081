import doctest
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.core.errors import DependencyError
from solo_hub.core.records import Document
from solo_hub.knowledge import chunking, fused, words
from solo_hub.knowledge.words import SAMPLE, STOP_WORDS, Analysis, language_of

SENTENCES = {
    "en": ("Bees make honey from nectar.", "Ice melts in the sun.", "A volcano throws out ash and lava."),
    "fr": ("Le château fut bâti près de l'étang.", "La mer est salée.", "Les abeilles font du miel."),
    "de": ("Die Bienen machen Honig.", "Das Eis schmilzt in der Sonne.", "Der Vulkan speit Asche und Lava."),
    "es": ("Las abejas hacen miel.", "El hielo se derrite al sol.", "El volcán arroja ceniza y lava."),
    "ru": ("Пчёлы делают мёд из нектара.", "Лёд тает на солнце.", "Вулкан выбрасывает пепел и лаву."),
    "hi": ("भालू सर्दियों में सोता है।", "नदी वसंत में बढ़ती है।", "मधुमक्खियाँ शहद बनाती हैं।"),
}


def documents(*texts):
    return [Document(str(number), text) for number, text in enumerate(texts)]


@pytest.mark.parametrize("module", [chunking, fused, words])
def test_examples_in_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize("language", SENTENCES)
def test_the_language_of_a_corpus_is_told_from_its_documents(language):
    assert language_of(documents(*SENTENCES[language])) == language


@pytest.mark.parametrize("script", ["水在100度沸騰。冰在0度融化。", "水は100度で沸く。氷は0度で溶ける。"])
def test_a_language_without_rules_for_stems_is_none(script):
    assert language_of(documents(script, script)) == ""


def test_two_forms_of_norwegian_are_one():
    texts = (
        "Bier lager honning av nektar, og isen smelter i sola.",
        "Bier lagar honning av nektar, og isen smeltar i sola.",
    )
    assert language_of(documents(*texts)) == "no"


def test_no_language_has_most():
    """Three languages, about a third each."""
    assert language_of(documents(*SENTENCES["en"], *SENTENCES["fr"], *SENTENCES["hi"])) == ""


def test_documents_vote_with_their_length_up_to_a_bound():
    """Six short French sentences against English ones: one as long is not enough, but a page is."""
    french = SENTENCES["fr"] * 2
    assert language_of(documents(*french, SENTENCES["en"][0])) == "fr"
    assert language_of(documents(*french, " ".join(SENTENCES["en"] * 4))) == "en"


def test_of_many_documents_some_are_looked_at(monkeypatch):
    """Four times as many as are looked at: every fourth."""
    seen = []
    monkeypatch.setattr(words, "_identifier", lambda: Identifier(seen))
    assert language_of(documents(*map(str, range(4 * SAMPLE)))) == "en"
    assert seen == [str(number) for number in range(0, 4 * SAMPLE, 4)]


class Identifier:
    """Takes every text for English."""

    def __init__(self, seen):
        self.seen = seen

    def classify(self, text):
        self.seen.append(text)
        return "en", 1.0


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("en", "dehydrating", "dehydration"),
        ("de", "Vulkane", "Vulkanen"),
        ("fr", "mangeaient", "manger"),
        ("es", "volcanes", "volcán"),
        ("ru", "пчёлы", "пчёлами"),
        ("hi", "सर्दियों", "सर्दियाँ"),
    ],
)
def test_forms_of_a_word_meet_by_the_rules_of_their_language(language, one, other):
    analysis = Analysis(language, "")
    assert analysis.words(one) == analysis.words(other)
    assert Analysis("", "").words(one) != Analysis("", "").words(other)


def test_only_english_loses_its_stop_words():
    assert Analysis("en", "").words("The war was in the war") == ["war", "war"]
    assert Analysis("de", "").words("an die war") == ["an", "die", "war"]
    assert not STOP_WORDS & set(Analysis("en", "").words(" ".join(STOP_WORDS)))


@given(st.text())
def test_no_word_is_lost_where_the_language_is_unknown(text):
    assert Analysis("", "").words(text) == words.terms(text)


def test_empty():
    assert Analysis("en", "").words("") == []
    assert Analysis("en", "").words("the of — !") == []
    assert language_of([]) == ""
    assert Analysis.of([]).language == ""


def test_is_kept_and_of_another_version_not_read(tmp_path):
    analysis = Analysis.of(documents(*SENTENCES["de"]))
    analysis.write(tmp_path)
    assert Analysis.read(tmp_path) == analysis
    for changed in ({"tokenizer": 1}, {"stemmer": "0.1"}, {"more": 1}):
        row = {"language": "de", "stemmer": analysis.stemmer, "tokenizer": analysis.tokenizer, **changed}
        (tmp_path / words.ABOUT).write_text(json.dumps(row))
        assert Analysis.read(tmp_path) is None
    assert Analysis.read(tmp_path / "nowhere") is None


@pytest.mark.parametrize("package", ["Stemmer", "py3langid.langid"])
def test_a_missing_package_is_named(package, monkeypatch):
    words._identifier.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DependencyError, match="knowledge"):
        Analysis.of(documents("Bees make honey."))
