import pytest

from solo_hub.core.errors import InputError
from solo_hub.core.records import Document
from solo_hub.core.settings import KnowledgeSettings
from solo_hub.knowledge.corpus import stream_documents

SETTINGS = KnowledgeSettings()


def check(*rows, settings=SETTINGS):
    return list(stream_documents(enumerate(rows, start=1), settings, "facts.jsonl"))


def test_rows_become_documents():
    assert check({"id": 7, "text": "Ice melts.", "source": "book"}, {"id": "b", "text": "Water flows."}) == [
        Document("7", "Ice melts.", "book"),
        Document("b", "Water flows.", ""),
    ]


def test_row_number_stands_in_for_a_missing_id():
    assert [d.id for d in check({"text": "a"}, {"id": None, "text": "b"})] == ["1", "2"]


def test_columns_are_named_by_the_settings():
    settings = KnowledgeSettings(columns={"text": "fact", "id": "key", "source": "from"})
    assert check({"key": "k", "fact": "Ice melts.", "from": 3}, settings=settings) == [Document("k", "Ice melts.", "3")]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"id": 1, "text": 5}, "facts.jsonl, row 2, field 'text': not a string but a int."),
        ({"id": 1, "text": None}, "facts.jsonl, row 2, field 'text': not a string but null."),
        ({"id": 1, "text": " \n"}, "facts.jsonl, row 2, field 'text': the text is empty."),
        ({"id": 1, "body": "x"}, "facts.jsonl, row 2, field 'text': no such column (columns: id, body)."),
        ({"id": 0, "text": "x"}, "facts.jsonl, row 2, field 'id': duplicate id '0' (also in row 1)."),
        (
            {"id": True, "text": "x"},
            "facts.jsonl, row 2, field 'id': an id must be a string or an integer, not a bool.",
        ),
        (
            {"id": 1.5, "text": "x"},
            "facts.jsonl, row 2, field 'id': an id must be a string or an integer, not a float.",
        ),
    ],
)
def test_bad_row_is_named_by_file_row_and_field(row, said):
    with pytest.raises(InputError) as caught:
        check({"id": 0, "text": "fine"}, row)
    assert caught.value.message.startswith(said)
    assert caught.value.hint


def test_corpus_empty():
    assert check() == []
