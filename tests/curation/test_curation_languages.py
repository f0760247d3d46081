"""Questions in other languages than English: by statement, by number, by gap."""

from __future__ import annotations

import pytest

from solo_hub.core.records import Document
from solo_hub.curation.chains import Chains
from solo_hub.curation.cloze import Cloze
from solo_hub.curation.curating import curate
from solo_hub.curation.scripts import language_of
from solo_hub.curation.spans import parse_statement


def asked(text, **options):
    return {(q.form, q.text, q.answer) for q in Cloze({"per_sentence": 9, **options}, 0).write([Document("d", text)])}


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The water is in the lake.", "en"),
        ("Der Hund und die Katze sind im Haus.", "de"),
        ("Le chat est dans la maison avec les enfants.", "fr"),
        ("水在攝氏一百度沸騰。", "zh"),
        ("東京は日本の首都です。", "ja"),
        ("서울은 대한민국의 수도이다.", "ko"),
        ("Москва является столицей России.", "cyrillic"),
        ("H2O 42", ""),
        ("", ""),
    ],
)
def test_languages_are_told_by_script_or_function_words(text, language):
    assert language_of(text) == language


def test_a_chinese_statement_is_asked_from_both_sides():
    found = asked("茶葉含有咖啡因。")
    assert ("end", "茶葉含有什麼\uff1f", "咖啡因") in found
    assert ("subject", "什麼含有咖啡因\uff1f", "茶葉") in found
    assert ("gap", "____含有咖啡因。", "茶葉") in found


@pytest.mark.parametrize(
    ("sentence", "question", "answer"),
    [
        ("山與河\uff1a 玉山的高度是三千公尺。", "玉山的高度是多少\uff1f", "三千公尺"),  # below a heading
        ("凍頂烏龍茶產於鹿谷鄉。", "凍頂烏龍茶產於哪裡\uff1f", "鹿谷鄉"),
        ("帝雉生活在山上的森林。", "什麼生活在山上的森林\uff1f", "帝雉"),
        ("臺灣藍鵲的窩由樹枝做成。", "臺灣藍鵲的窩由什麼做成\uff1f", "樹枝"),
        ("太魯閣峽谷由立霧溪切割而成。", "太魯閣峽谷由什麼切割而成\uff1f", "立霧溪"),
        ("紅玉又叫做臺茶十八號。", "紅玉又叫做什麼\uff1f", "臺茶十八號"),
        ("發酵程度是百分之八。", "發酵程度是多少\uff1f", "百分之八"),
        ("黑面琵鷺每年十月飛到七股。", "黑面琵鷺每年幾月飛到七股\uff1f", "十"),
    ],
)
def test_chinese_places_makers_and_shares_are_asked_for_whole(sentence, question, answer):
    assert (question, answer) in {(text, said) for _, text, said in asked(sentence)}


def test_simplified_chinese_is_asked_in_simplified():
    assert ("end", "鲸鱼属于什么\uff1f", "哺乳动物") in asked("鲸鱼属于哺乳动物。")


@pytest.mark.parametrize(
    ("sentence", "question", "answer"),
    [
        ("水在攝氏一百度沸騰。", "水在攝氏多少度沸騰\uff1f", "一百"),
        ("月球繞地球一圈需要27天。", "月球繞地球一圈需要多少天\uff1f", "27"),
        ("捷運淡水線於1997年通車。", "捷運淡水線於哪一年通車\uff1f", "1997年"),
        ("富士山の高さは3776メートルです。", "富士山の高さはいくつメートルです\u304b\uff1f", "3776"),
    ],
)
def test_numbers_are_asked_for(sentence, question, answer):
    assert ("count", question, answer) in asked(sentence)


def test_what_points_elsewhere_is_not_asked():
    assert asked("他認為這件事很重要。") == set()
    assert parse_statement("它是一種興奮劑") is None
    assert parse_statement("珊瑚礁為許多魚類提供棲息地") is None  # subject and object cannot be told apart


def test_languages_without_rules_get_a_gap():
    assert asked("Москва является столицей России.") >= {("gap", "____ является столицей России.", "Москва")}
    assert asked("जल जीवन के लिए आवश्यक है।") >= {("gap", "जल जीवन के लिए ____ है.", "आवश्यक")}
    assert ("end", "Die Hauptstadt von Frankreich ist was?", "Paris") in asked(
        "Die Hauptstadt von Frankreich ist Paris."
    )


def test_two_chinese_statements_are_composed():
    documents = [Document("a", "茶葉含有咖啡因。"), Document("b", "咖啡因是一種興奮劑。")]
    found = {(q.form, q.text, q.answer, q.documents) for q in Chains({}, 0).write(documents)}
    assert found == {
        ("general-end", "茶葉含有什麼\uff1f", "興奮劑", ("a", "b")),
        ("general-subject", "什麼含有興奮劑\uff1f", "茶葉", ("a", "b")),
    }


def test_headings_are_not_asked_about_and_a_name_may_begin_with_and():
    """Headings end with a wide colon and a blank; where nothing stands before *and*, it begins a name."""
    text = (
        "清泉淨水車\uff1a 型號\uff1a 型號: 清泉二十; 保固: 兩年。 型號: 清泉六十; 保固: 三年。 "
        "和順工坊的歷史\uff1a 和順工坊在1987年成立。 海綿每四個月更換一次。"
    )
    asked = {(one.text, one.answer) for one in Cloze({}, 0).write([Document("d", text)])}
    assert ("清泉二十\uff0c保固\uff1a____。", "兩年") in asked
    assert ("____在1987年成立。", "和順工坊") in asked
    assert not [text for text, _ in asked if "歷史" in text or "更____" in text or text.startswith("和____")]


def test_sentences_end_where_their_script_ends_them():
    assert ("gap", "चक्की ____ पर है.", "नदी") in asked("संग्रहालय 1980 में खुला। चक्की नदी पर है।")


def test_a_chinese_year_with_a_round_zero_is_one_number():
    assert ("count", "磨坊於多少年開放\uff1f", "一九八〇") in asked("磨坊於一九八〇年開放。")


def test_german_nouns_and_verbs_are_not_each_others_options():
    text = "Die Mühle steht am Fluss. Das Boot liegt am Ufer. Der Hund wohnt am Hafen. Der Müller arbeitet am Rad."
    written = Cloze({"per_sentence": 9}, 0).write([Document("d", text)])
    made = list(curate([Document("d", text)], [Cloze({"per_sentence": 9}, 0)], options=3, seed=0))
    assert {q.language for q in written} == {"de"}
    verbs = {"steht", "liegt", "wohnt", "arbeitet"}
    options = [set(q.options) for q in made if q.options]
    assert options
    assert all(some <= verbs or not some & verbs for some in options)


@pytest.mark.parametrize(
    "code",
    [
        'It has "ContactType": "PERSON" in the file.',
        "The call os.listdir() gives the names.",
        "Menus are at https://example.org/menus in the lake.",
        "The option is set by --log-socket in the file.",
        "The value of page_size is in the file.",
    ],
)
def test_code_and_addresses_are_not_asked_about(code):
    assert asked(code) == set()


def test_one_word_of_another_language_does_not_decide():
    """*door* is a word of Dutch, too."""
    texts = ("A spider has eight legs.", "Bees are insects that make honey.", "A refrigerator door contains iron.")
    assert language_of(texts[2]) == "nl"
    found = list(curate([Document(str(n), text) for n, text in enumerate(texts)], [Cloze({}, 0)], options=0))
    assert ("What does a refrigerator door contain?", "en", True) in {(q.text, q.language, q.kept) for q in found}
