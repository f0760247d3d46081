"""Disks that are really full: every library meets ENOSPC in its own write, in the run and under the Hub's folder."""

from __future__ import annotations

import random
import shutil

import pytest
from outcomes import write_config
from small_disk import small_disk
from small_run import TOKEN, settings_of, versions
from test_resources import one_sentence, same_as_undisturbed

pytestmark = pytest.mark.timeout(900)  # seconds; the first test also pays for the run all others are compared with

LONG = [pytest.mark.soak, pytest.mark.timeout(0)]
NEXT = ("disk is full", "could not be written completely", "No space left on the disk",
        "No space is left on the disk")  # fmt: skip
"""One of these is told, and what to do."""


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    with small_disk(tmp_path_factory.mktemp("disk") / "full", 160) as made:
        yield made


@pytest.fixture
def fill(runner, hub, undisturbed, disk, tmp_path, count):
    """Runs a command with so many kilobytes left, and again with room; tells whether they were too few."""

    def filled(name, kilobytes, *, first_step=None, home=None, **job):
        for old in disk.path.iterdir():
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        (disk.path / "tmp").mkdir()
        run = disk.path / "run"
        line = (write_config(tmp_path / f"{name}.yaml", settings_of(name)), "--run", run)
        home = home or undisturbed[0].parent / "home"
        if first_step:
            assert runner.run(first_step, *line, home=home, **job).code == 0
        disk.leave(kilobytes << 10)
        stopped = runner.run("distill", *line, "--push", home=home, **job)
        disk.clear()
        if stopped.code:
            count("full disks")
            assert one_sentence(stopped), stopped.err
            assert any(said in stopped.err for said in NEXT), stopped.err
            assert "run the same command again" in stopped.err
            done = runner.run("distill", *line, "--push", home=home, **job)
            assert done.code == 0, done.err
        assert same_as_undisturbed(undisturbed, run) == []
        for what, kind in (("labels", "dataset"), ("adapter", "model")):
            assert versions(hub.endpoint, f"tests/{name}-{what}", kind) == (["v1"], 1)
        return stopped.code == 1

    return filled


def elsewhere(disk):
    """Environment in which temporary files and the client's own caches are on the disk, too."""
    return {"TMPDIR": f"{disk.path}/tmp", "HF_HOME": f"{disk.path}/hf", "HF_XET_CACHE": f"{disk.path}/hf/xet"}


WHOLE = [0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 48, 56, 64, 80, 104, 128, 160, 200, 240, 280, 320, 360, 380]


@pytest.mark.parametrize("kilobytes", [[128], pytest.param(WHOLE, marks=LONG)], ids=["short", "long"])
def test_a_run_folder_on_a_full_disk(fill, disk, kilobytes):
    """The files of every step, and the checkpoints of the training, which PyTorch and safetensors write."""
    stopped = [fill(f"full-{len(kilobytes)}-{left}", left, env=elsewhere(disk)) for left in kilobytes]
    assert all(stopped)


AFTER = [0, 8, 16, 24, 32, 48, 64, 96, 104, 112, 128, 144, 160, 176, 192]


@pytest.mark.parametrize("kilobytes", [[24], pytest.param(AFTER, marks=LONG)], ids=["short", "long"])
def test_a_disk_that_is_full_once_the_adapter_is_there(fill, disk, kilobytes):
    """Evaluation, report and publishing, which need less than the training had."""
    names = [(f"after-{len(kilobytes)}-{left}", left) for left in kilobytes]
    stopped = [fill(name, left, first_step="train", env=elsewhere(disk)) for name, left in names]
    assert all(stopped[: -(-len(stopped) // 2)])  # the later ones may get through


COLD = [0, 8, 16, 24, 32, 40, 64, 100, 200, 400, 700, 1_000, 1_400, 1_500, 20_000, 60_000, 90_000]


@pytest.mark.parametrize("kilobytes", [[100], pytest.param(COLD, marks=LONG)], ids=["short", "long"])
def test_a_cold_cache_on_a_full_disk(fill, disk, kilobytes):
    """Downloads, and the index of the documents."""
    home = disk.path / "home"
    stopped = [fill(f"cold-{len(kilobytes)}-{left}", left, home=home, env=elsewhere(disk)) for left in kilobytes]
    assert all(stopped)


ROOMS = [0, 4, 12, 40, 100, 200, 300, 380, 400, 410, 420, 430, 440, 450, 460, 470, 480, 500, 520, 540, 560, 600]


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own upload without Xet
@pytest.mark.parametrize("xet", [True, False])
@pytest.mark.parametrize("kilobytes", [[420], pytest.param(ROOMS, marks=LONG)], ids=["short", "long"])
def test_a_push_to_a_hub_whose_disk_is_full(disk, tmp_path, monkeypatch, count, kilobytes, xet):
    """One sentence that names the Hub's disk; the repo holds the old version, and the next push completes it."""
    from huggingface_hub import constants

    from solo_hub.core.errors import HubError
    from solo_hub.hub import HubClient
    from solo_hub.hub.server import EmbeddedHub

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", not xet)
    folder = tmp_path / "pushed"
    (folder / "many").mkdir(parents=True)

    def push(door, number):
        (folder / "number.txt").write_text(str(number))
        (folder / "big.bin").write_bytes(random.Random(number).randbytes(400_000))
        (folder / "many" / f"{number}.txt").write_text("x" * 100_000)
        return door.push(folder, "ann/pushed", "model", message=f"push {number}")

    def there(door):
        place = door.pull(door.pin("ann/pushed", "model"), allow=["*"])
        number = int((place / "number.txt").read_text())
        assert (place / "big.bin").read_bytes() == random.Random(number).randbytes(400_000)
        return number

    users = [{"name": "ann", "token": TOKEN}]
    with EmbeddedHub(disk.path / f"hub-{xet}-{len(kilobytes)}", users=users, remember=False) as hub:
        door = HubClient(hub.endpoint, TOKEN, tmp_path / "cache")
        push(door, 0)
        for turn, left in enumerate(kilobytes, start=1):
            disk.leave(left << 10)
            with pytest.raises(HubError, match=r"has no space left for the model .* Free some there"):
                push(door, 2 * turn - 1)
            assert there(door) == 2 * turn - 2
            disk.clear()
            push(door, 2 * turn)
            assert there(door) == 2 * turn
            count("full disks")


@pytest.mark.parametrize("kilobytes", [[40], pytest.param(range(0, 80, 8), marks=LONG)], ids=["short", "long"])
@pytest.mark.parametrize("inside", [False, True])
def test_a_hub_that_is_started_on_a_full_disk(disk, tmp_path, monkeypatch, count, kilobytes, inside):
    """Its log has no room either, so whoever starts it says what is wrong; in a process of its own, and in this one."""
    from solo_hub.core.errors import HubError
    from solo_hub.hub.server import find_or_start
    from solo_hub.hub.server.processes import stop

    monkeypatch.setenv("SOLO_HUB_HOME", str(tmp_path))
    for left in kilobytes:
        root = disk.path / f"started-{left}-{len(kilobytes)}-{inside}"
        root.mkdir()
        disk.leave(left << 10)
        with pytest.raises(HubError, match=r"No space left on the disk of .*started.* run the same command again"):
            find_or_start(root, in_process=inside)
        count("full disks")
        disk.clear()
        assert find_or_start(root).started
        assert stop(root)
