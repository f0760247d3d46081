"""Repos, files and texts that mean harm: nothing of them is run, no place outside is touched, a sentence says why."""

from __future__ import annotations

import gzip
import json
import pickle

import pytest
from memory import peak_of

from solo_hub.core.errors import ConfigError, InputError, ModelError, SoloHubError, UsageError

pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning")]
TOKEN = "hf_reliabilityPLANTEDsecretTOKEN01"


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (exec, (f"open({str(self.mark)!r}, 'w').close()",))


@pytest.fixture
def mark(tmp_path):
    """A file that is there if foreign code was run."""
    path = tmp_path / "foreign code was here"
    yield path
    assert not path.exists()


@pytest.fixture
def door(hub, tmp_path):
    from solo_hub.hub import HubClient

    return HubClient(hub.endpoint, TOKEN, tmp_path / "cache")


def pushed(door, tmp_path, name, kind, files):
    from huggingface_hub import HfApi

    folder = tmp_path / "repo"
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data if isinstance(data, bytes) else data.encode())
    api = HfApi(endpoint=door.endpoint, token=TOKEN)
    api.create_repo(f"tests/{name}", repo_type=kind, exist_ok=True)
    api.upload_folder(repo_id=f"tests/{name}", repo_type=kind, folder_path=folder)
    return door.pin(f"tests/{name}", kind)


def test_pickled_weights_are_neither_downloaded_nor_loaded(door, tmp_path, mark):
    files = {"config.json": "{}", "pytorch_model.bin": pickle.dumps(Bomb(mark)), "training_args.bin": b"x"}
    with pytest.raises(ModelError, match="no safetensors weights"):
        door.pull(pushed(door, tmp_path, "pickled", "model", files))
    assert not list((tmp_path / "cache").rglob("*.bin"))


def test_code_of_a_model_repo_is_not_run(door, tmp_path, tiny_model, mark):
    from solo_hub.models.loading import load_model, load_tokenizer

    config = json.loads((tiny_model / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"}}
    files = {path.name: path.read_bytes() for path in tiny_model.iterdir()}
    files |= {"config.json": json.dumps(config), "evil.py": f"open({str(mark)!r}, 'w').close()"}
    folder = door.pull(pushed(door, tmp_path, "remote-code", "model", files))
    assert not list(folder.rglob("*.py"))
    for load in (lambda: load_model(folder, "tests/remote-code", "float32"), lambda: load_tokenizer(folder, "x")):
        try:
            load()
        except ModelError as error:
            assert len(str(error)) < 600  # noqa: PT017
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(folder, "tests/remote-code", "float32")


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ cycler.__init__.__globals__.os.system('touch MARK') }}", "access to attribute '__init__'"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "access to attribute '__class__'"),
        ("{{ raise_exception('not for you') }}", "not for you"),
        ("{% for", "end of template"),
        ("{{ messages[7].content }}", "no element 7"),
        ("{{ messages + 1 }}", "concatenate"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{% for i in range(10 ** 9) %}{% endfor %}", "too big"),
    ],
)
def test_a_chat_template_that_means_harm(tiny_model, tmp_path, mark, template, said):
    """One sentence with a remedy, whatever the template does; nothing of it reaches Python."""
    import shutil

    from tiny import load_engine

    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    (folder / "chat_template.jinja").write_text(template.replace("MARK", str(mark)))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    engine = load_engine(folder)
    with pytest.raises(ModelError, match=r"^The chat template of the base model .* cannot be rendered: .*") as refused:
        engine.chat("hello")
    assert said in refused.value.message
    assert refused.value.message.count("\n") == 0
    assert refused.value.hint == "Set teacher.prompt=plain, or choose another base."


def test_a_loading_script_is_not_run(door, tmp_path, mark):
    from solo_hub.hub import tables

    files = {"scripted.py": f"open({str(mark)!r}, 'w').close()", "train.jsonl": '{"text": "a"}\n'}
    folder = door.pull(pushed(door, tmp_path, "scripted", "dataset", files))
    assert not list(folder.rglob("*.py"))
    assert [row for _, row in tables.read_table(folder, split="train")] == [{"text": "a"}]


@pytest.mark.parametrize("where", ["../secret.jsonl", "/etc/passwd", "../../*.jsonl", "a/../../secret.jsonl"])
def test_a_card_that_names_files_outside(tmp_path, where):
    from solo_hub.hub import tables

    folder = tmp_path / "dataset"
    folder.mkdir()
    (tmp_path / "secret.jsonl").write_text('{"text": "a secret"}\n')
    (folder / "train.jsonl").write_text('{"text": "ours"}\n')
    card = {"configs": [{"config_name": "default", "data_files": [{"split": "train", "path": where}]}]}
    (folder / "README.md").write_text(f"---\n{json.dumps(card)}\n---\n")
    try:
        rows = [row for _, row in tables.read_table(folder, split="train")]
    except SoloHubError:
        return
    assert all("secret" not in row["text"] for row in rows)


def test_yaml_tags_make_no_objects(tmp_path, mark):
    from solo_hub.core.config import override, read_file

    tag = f"!!python/object/apply:os.system ['touch {mark}']"
    (tmp_path / "config.yaml").write_text(f"base: {tag}\n")
    with pytest.raises(ConfigError, match="not valid YAML at line 1"):
        read_file(tmp_path / "config.yaml")
    with pytest.raises(ConfigError, match="cannot read the value"):
        override({}, [f"base={tag}"])


def test_jinja_in_data_stays_text():
    from solo_hub.core.records import Passage, Question
    from solo_hub.models.prompts import PromptBuilder

    evil = "{{ 7*7 }} {% include '/etc/passwd' %} {{ self.__init__.__globals__ }}"
    prompt = PromptBuilder().ask(Question("q", evil, (evil + " a", evil + " b")), "text", [evil])
    assert prompt.text.count("{{ 7*7 }}") >= 2
    assert "49" not in prompt.text
    assert Passage("p", evil, 1.0).text == evil


def test_a_gzip_bomb_is_read_as_a_stream(tmp_path):
    """200 MB of blanks in 200 kB: read line by line, the first thousand rows take no memory to speak of."""
    from solo_hub.hub import tables

    path = tmp_path / "bomb.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        row = json.dumps({"text": "a" * 20_000}).encode() + b"\n"
        for _ in range(2_000):
            file.write(row)
    assert path.stat().st_size < 200_000

    def read():
        assert sum(1 for _ in tables.read_table(path)) == 2_000

    assert peak_of(read) < 10_000_000  # bytes


def test_a_parquet_bomb_is_read_in_batches(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    from solo_hub.hub import tables

    path = tmp_path / "bomb.parquet"
    table = pa.table({"text": pa.DictionaryArray.from_arrays(pa.array([0] * 300_000, pa.int32()), ["a" * 500])})
    parquet.write_table(table, path, row_group_size=10_000)
    assert path.stat().st_size < 100_000
    before = pa.total_allocated_bytes()
    rows = tables.read_table(path)
    next(rows)
    assert pa.total_allocated_bytes() - before < 50_000_000
    assert sum(1 for _ in rows) == 299_999


def test_a_line_without_an_end_is_not_read_to_its_end(tmp_path, monkeypatch):
    """A gzip file of a few kB whose one line would fill the memory; the limit is lowered for the test."""
    from solo_hub.hub import formats, tables

    monkeypatch.setattr(formats, "_LONGEST_LINE", 1 << 20)
    path = tmp_path / "bomb.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(b'{"text": "fine"}\n{"text": "')
        for _ in range(50):
            file.write(b"a" * (1 << 20))
    assert path.stat().st_size < 100_000

    def read():
        with pytest.raises(InputError, match=r"row 2: is longer than 1 MB"):
            list(tables.read_table(path))

    assert peak_of(read) < 8_000_000  # bytes


def test_a_list_that_unpacks_to_too_much(tmp_path, monkeypatch):
    from solo_hub.hub import formats, tables

    monkeypatch.setattr(formats, "_LONGEST_LIST", 1 << 20)
    path = tmp_path / "bomb.json.gz"
    with gzip.open(path, "wt", compresslevel=9) as file:
        file.write("[" + '{"text": "aaaaaaaaaa"},\n' * 200_000 + '{"text": "b"}]')
    with pytest.raises(InputError, match=r"more than 1 MB.*one object per line"):
        list(tables.read_table(path))


@pytest.mark.parametrize("layers", [1, 2])
def test_a_pdf_that_unpacks_to_much_more(tmp_path, layers):
    """300 kB, and 1 kB, that unpack to 300 MB: told as a broken PDF."""
    import zlib

    from solo_hub.knowledge.reading import read_files

    page = b"BT /F1 12 Tf (words) Tj ET\n" + b" " * 300_000_000
    for _ in range(layers):
        page = zlib.compress(page, 9)
    filters = b" ".join([b"/FlateDecode"] * layers)
    font = b"<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources " + font + b" >>",
        b"<< /Length %d /Filter [%b] >>\nstream\n%b\nendstream" % (len(page), filters, page),
    ]
    data, places = b"%PDF-1.4\n", b""
    for numbered in enumerate(parts, start=1):
        places += b"%010d 00000 n \n" % len(data)
        data += b"%d 0 obj\n%b\nendobj\n" % numbered
    table = b"xref\n0 5\n0000000000 65535 f \n" + places + b"trailer << /Size 5 /Root 1 0 R >>\n"
    path = tmp_path / "bomb.pdf"
    path.write_bytes(data + table + b"startxref\n%d\n%%%%EOF\n" % len(data))
    assert path.stat().st_size < 400_000
    with pytest.raises(InputError, match=r"bomb\.pdf: not a readable PDF: Limit reached"):
        list(read_files(path, limit=100, overlap=10, count=lambda texts: [len(t.split()) for t in texts]))


def test_a_pickled_adapter_is_not_loaded(tiny_model, tmp_path, mark):
    from tiny import load_engine

    from solo_hub.models import adapters

    folder = tmp_path / "adapter"
    folder.mkdir()
    config = {"peft_type": "LORA", "base_model_name_or_path": "x", "r": 4, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(ModelError):
        adapters.load(load_engine(tiny_model), folder)


def test_a_plugin_is_not_imported_by_being_there(monkeypatch, mark):
    from importlib import metadata

    from solo_hub.core import plugins

    loaded = []

    class Point:
        name, value, group = "evil", "evil:Evil", "solo_hub.selectors"
        dist = None

        def load(self):
            loaded.append(1)
            mark.touch()

    real = metadata.entry_points
    monkeypatch.setattr(plugins, "_entry_points", plugins._entry_points.__wrapped__)  # nothing of before is known
    monkeypatch.setattr(metadata, "entry_points", lambda **kw: [*real(**kw), Point()])
    assert plugins.find("selectors", "llkd")
    assert not loaded


@pytest.mark.parametrize("name", ["../evil", "a/../../b", "/etc/passwd", "a/b/c", "..", "a/b@../../x y"])
def test_names_of_repos_stay_names(name):
    from solo_hub.hub.repos import parse_reference

    with pytest.raises(UsageError):
        parse_reference(name)


def test_a_secret_in_the_corpus_stops_the_push(tmp_path):
    from solo_hub.publishing.leaks import refuse

    (tmp_path / "train.jsonl").write_text(json.dumps({"text": f"my token is {'hf_' + 'a1B2' * 9}"}) + "\n")
    with pytest.raises(InputError, match="looks like a secret") as caught:
        refuse(tmp_path)
    assert "a1B2a1B2" not in str(caught.value)
