"""What looks like personal data is told before it goes public, and only then; nothing of it is repeated."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from solo_hub.core.console import Console
from solo_hub.core.errors import InputError
from solo_hub.publishing import leaks
from solo_hub.publishing.personal_data import guarded, look

# Numbers from the documentation of the standards: nobody's.
PERSONAL = {
    "e-mail address": ["write to ada.lovelace+x@post.example.org, please", "<a@b.co>"],
    "phone number": [
        "call +49 30 1234567",
        "(202) 555-0143",
        "202-555-0143 is the line",
        "+1 (202) 555-0143",
        "tel:+4930123456",
    ],
    "bank account (IBAN)": [
        "GB82 WEST 1234 5698 7654 32",
        "pay to DE89370400440532013000.",
        "GB82WEST12345698765432 NOW",
    ],
    "payment card number": ["4111 1111 1111 1111", "card 5500-0000-0000-0004.", "378282246310005"],
}
INNOCENT = [
    "the atom @ rest",
    "@handle",
    "a@b",
    "3 + 4 = 7 and 12345678",
    "pi is 3.14159265358979",
    "in 1914-1918",
    "+5 points",
    "1234 5678 9012 3456",
    "4111 1111 1111 1112",
    "0000 0000 0000 0000",
    "DE89370400440532013001",
    "ISBN 978-3-16-148410-0",
    "2026-11-23 15:14:18",
    "10.1000/182",
    "127.0.0.1",
    "tel. 4",
    "1/3 + 1/4 + 1/5 + 1/6",
    "a1b2c3d4e5f64111111111111111",
    "GO AA00 GO",
    "between 1000000000000 and 2000000000001",
    "3.4028234663852886e+38",
    "x+12345678901",
]


def rows(folder, *texts, name="train-00000-of-00001", configuration="all"):
    place = folder / "data" / configuration
    place.mkdir(parents=True, exist_ok=True)
    passages = [[{"text": text, "score": 0.4111111111111111}] for text in texts]
    table = pa.table({"key": ["4111111111111111a"] * len(texts), "passages": passages})
    pq.write_table(table, place / f"{name}.parquet", compression="zstd")
    return folder


def kinds(folder):
    return [leak.kind for leak in leaks.find(folder, leaks.PERSONAL)]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in PERSONAL.items() for text in texts])
def test_each_kind_is_found_in_parquet_and_text(tmp_path, kind, text):
    assert list(leaks.find(rows(tmp_path, "fine", text), leaks.PERSONAL)) == [
        leaks.Leak("data/all/train-00000-of-00001.parquet", 2, kind)
    ]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "README.md").write_text(f"one\ntwo {text}\n")
    assert list(leaks.find(tmp_path / "other", leaks.PERSONAL)) == [leaks.Leak("README.md", 2, kind)]


@pytest.mark.parametrize("text", INNOCENT)
def test_numbers_and_words_that_are_nothing(tmp_path, text):
    assert kinds(rows(tmp_path, text)) == []


def test_rows_of_many_batches_have_their_numbers(tmp_path):
    texts = ["fine"] * 2_500
    texts[2_400] = "a@example.org"
    [leak] = leaks.find(rows(tmp_path, *texts), leaks.PERSONAL)
    assert leak.line == 2_401


def test_an_empty_dataset_holds_none(tmp_path):
    look(tmp_path, Console("quiet"), public=True, allowed=False)


def test_going_public_stops_and_names_rows_never_what_was_found(tmp_path):
    texts = ["fine", "ada@example.org", "fine", "ada@example.org and +49 30 1234567"]
    for again in ("kept", "messages"):  # rows that are told once
        rows(rows(tmp_path, *texts), "ada@example.org", configuration=again)
    with pytest.raises(InputError) as stopped:
        look(tmp_path, Console("quiet"), public=True, allowed=False)
    said = str(stopped.value)
    assert "row 2: 2 rows look like personal data (e-mail address 2, phone number 1); nothing was pushed." in said
    assert "row 4: phone number" in said
    assert "--yes" in stopped.value.hint
    assert "ada" not in said
    assert "1234567" not in said


def test_allowed_it_is_a_warning_and_private_a_note(tmp_path, capsys):
    rows(tmp_path, "ada@example.org")
    look(tmp_path, Console("human"), public=True, allowed=True)
    assert "Warning: 1 row looks like personal data" in " ".join(capsys.readouterr().err.split())
    look(tmp_path, Console("human"), public=False, allowed=False)
    said = " ".join(capsys.readouterr().err.split())
    assert "the repo is private" in said
    assert "Warning" not in said


@dataclass
class FakeClient:
    there: bool | None
    pushed: list = field(default_factory=list)

    def is_private(self, repo_id, kind):
        return self.there

    def push(self, folder, repo_id, kind, **named):
        self.pushed.append(kind)


@pytest.mark.parametrize(
    ("there", "private", "stops"),
    [(None, False, True), (None, True, False), (True, False, False), (False, True, True)],
    ids=["a new public repo", "a new private one", "private already", "public already, whatever is asked"],
)
def test_what_counts_is_what_the_repo_is_or_will_be(tmp_path, there, private, stops):
    door = FakeClient(there)
    push = guarded(door, Console("quiet"), private=private, allowed=False)
    rows(tmp_path, "ada@example.org")
    push(tmp_path, "me/adapter", "model")
    if stops:
        with pytest.raises(InputError):
            push(tmp_path, "me/data", "dataset")
    else:
        push(tmp_path, "me/data", "dataset")
    assert door.pushed == ["model"] + [] * stops + ["dataset"] * (not stops)
