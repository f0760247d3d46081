"""The parts below the routes: git ids, trees, patterns, cards, tokens."""

from __future__ import annotations

import socket
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solo_hub.core.errors import SoloHubError, UsageError
from solo_hub.hub.server import attributes, cards, gitobjects
from solo_hub.hub.server.accounts import Signer
from solo_hub.hub.server.core import Hub
from solo_hub.hub.server.errors import ApiError
from solo_hub.hub.server.server import EmbeddedHub
from solo_hub.hub.server.trees import File, TreeEdit


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    made = Hub(tmp_path_factory.mktemp("parts"))
    yield made
    made.close()


def test_ids_are_those_of_git():
    """Numbers from `git hash-object` and `git mktree`; the empty tree is the best known of them."""
    assert gitobjects.blob_oid(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert gitobjects.blob_oid(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert gitobjects.tree_oid([]) == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    one = [("a.txt", False, gitobjects.blob_oid(b"hello\n"))]
    assert gitobjects.tree_oid(one) == "2e81171448eb9f2ee3821e3d447aa6b2fe3ddba1"


def test_a_folder_sorts_as_if_its_name_ended_in_a_slash():
    """Git puts the file `a.b` before the folder `a`, because '.' comes before '/'."""
    oid = gitobjects.blob_oid(b"")
    either = [("a", True, oid), ("a.b", False, oid)]
    assert gitobjects.tree_oid(either) == gitobjects.tree_oid(either[::-1])
    assert gitobjects.tree_oid(either) != gitobjects.tree_oid([("a", False, oid), ("a.b", False, oid)])


def file(number: int) -> File:
    text = str(number)
    return File(gitobjects.blob_oid(text.encode()), f"{number:064x}", len(text), lfs=number % 2 == 0, xet=None)


paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
edits = st.lists(st.tuples(st.sampled_from(["put", "delete", "delete folder"]), paths, st.integers(0, 9)), max_size=25)


@settings(max_examples=100)
@given(st.lists(edits, max_size=4))
def test_trees_do_what_a_plain_dictionary_does(hub, rounds):
    plain: dict[str, File] = {}
    root = None
    for operations in rounds:
        edit = TreeEdit(hub.trees, root)
        for kind, path, number in operations:
            below = [each for each in plain if each.startswith(path + "/")]
            above = any(path.startswith(each + "/") for each in plain)
            try:
                if kind == "put":
                    edit.put(path, file(number))
                    assert not below
                    assert not above
                    plain[path] = file(number)
                elif kind == "delete":
                    edit.delete_file(path)
                    assert path in plain or below
                    plain = {each: node for each, node in plain.items() if each != path and each not in below}
                else:
                    edit.delete_folder(path)
                    assert below
                    plain = {each: node for each, node in plain.items() if each not in below}
            except ApiError as error:
                refused = {"put": below or above, "delete": path not in plain and not below, "delete folder": not below}
                if not refused[kind]:
                    raise AssertionError((kind, path)) from error
        root = edit.store().key
        assert dict(hub.trees.files(root)) == plain
        for path, node in plain.items():
            assert hub.trees.find(root, path) == node


def test_the_same_content_has_the_same_tree(hub):
    one, two = TreeEdit(hub.trees, None), TreeEdit(hub.trees, None)
    for path in ("a/b", "c"):
        one.put(path, file(1))
    for path in ("c", "x/y", "a/b"):
        two.put(path, file(1))
    two.delete_file("x/y")
    assert one.store() == two.store()


@pytest.mark.parametrize(
    ("path", "size", "sample", "lfs"),
    [
        ("model.safetensors", 10, b"text", True),
        ("deep/in/x.parquet", 10, b"text", True),
        ("saved_model/a/b/c", 10, b"text", True),
        ("saved_model", 10, b"text", False),
        ("notes.txt", 10, b"text", False),
        ("notes.txt", 10 * 1024 * 1024 + 1, b"text", True),
        ("notes.txt", 10, b"\0", True),
        ("notes.txt", 10, b"\xff\xfe binary", True),
        ("notes.txt", 600, "cut in ä".encode()[:-1], False),
        ("events.out.tfevents.1", 10, b"text", True),
    ],
)
def test_what_goes_to_lfs(path, size, sample, lfs):
    patterns = attributes.lfs_patterns(attributes.initial("model"))
    assert attributes.goes_to_lfs(path, size, sample, patterns) == lfs


def test_the_last_pattern_counts():
    patterns = attributes.lfs_patterns("*.bin filter=lfs\nsmall/*.bin -filter\n# *.txt filter=lfs\n\n")
    assert attributes.goes_to_lfs("a.bin", 1, b"", patterns)
    assert not attributes.goes_to_lfs("small/a.bin", 1, b"", patterns)


@pytest.mark.parametrize(
    ("text", "path", "ignored"),
    [
        ("*.log", "a/b.log", True),
        ("nested/*", "nested/x", True),
        ("build/", "build/deep/x", True),
        ("build/", "build", False),
        ("*.log\n!keep.log", "keep.log", False),
        ("/top.txt", "sub/top.txt", False),
    ],
)
def test_what_is_ignored(text, path, ignored):
    assert attributes.is_ignored(path, attributes.ignore_patterns(text)) == ignored


def test_no_pattern_takes_long():
    began = time.perf_counter()
    attributes.is_ignored("a" * 250, attributes.ignore_patterns("*a" * 60 + "b"))
    attributes.is_ignored("/".join("a" * 100), attributes.ignore_patterns("**/a/" * 50 + "b"))
    assert time.perf_counter() - began < 2


def test_card_is_split_from_its_metadata():
    assert cards.split("---\na: 1\n---\n# Text") == ("a: 1", "# Text")
    assert cards.split("\n---\r\na: 1\r\n---\r\ntext") == ("a: 1", "text")
    assert cards.split("# No metadata\n---\n") == (None, "# No metadata\n---\n")


def test_dates_and_odd_numbers_of_a_card_survive_json():
    data, problem = cards.load("---\nwhen: 2024-01-02\nscore: .nan\n1: x\n---\n")
    assert problem is None
    assert data == {"when": "2024-01-02", "score": "nan", "1": "x"}


@given(st.text(max_size=300))
def test_any_text_is_a_card_with_or_without_an_error(text):
    cards.validate(f"---\n{text}\n---\n", "model")


def test_signatures():
    signer = Signer(b"key")
    ticket = signer.sign("lfs", 1, "abc", seconds=60)
    assert signer.check(ticket, "lfs", 2) == ["1", "abc"]
    for wrong in (
        ticket[:-1],
        ticket.replace("abc", "abd"),
        "",
        "....",
        Signer(b"other").sign("lfs", 1, "abc", seconds=9),
    ):
        with pytest.raises(ApiError) as caught:
            signer.check(wrong, "lfs", 2)
        assert caught.value.status == 401
    with pytest.raises(ApiError) as caught:
        signer.check(signer.sign("lfs", 1, "abc", seconds=-1), "lfs", 2)
    assert caught.value.status == 403


def test_mistakes_of_the_caller_are_explained(tmp_path):
    with pytest.raises(UsageError, match="needs a 'name'"):
        EmbeddedHub(tmp_path / "a", users=[{"nmae": "ana"}]).start()
    with pytest.raises(UsageError, match="'read' or 'write'"):
        EmbeddedHub(tmp_path / "b", users=[{"name": "ana", "role": "admin"}]).start()
    (tmp_path / "file").write_text("")
    with pytest.raises(SoloHubError, match="cannot use the folder"):
        EmbeddedHub(tmp_path / "file").start()


def test_a_folder_of_another_format_is_left_alone(tmp_path):
    hub = Hub(tmp_path / "root")
    with hub.db.write() as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    hub.close()
    with pytest.raises(SoloHubError, match="another solo-hub"):
        Hub(tmp_path / "root")


def test_small_answers_are_sent_at_once(tmp_path):
    """Forty milliseconds an answer otherwise: asyncio turns Nagle's algorithm off by the socket's protocol number."""
    listener = EmbeddedHub(tmp_path, remember=False)._listen()
    with listener:
        assert listener.proto == socket.IPPROTO_TCP
