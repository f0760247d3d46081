"""One of several processes that train one adapter; started by a launcher with: model folder, work folder, settings."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny import load_engine

from solo_hub.core.records import Example, Passage, PseudoLabel, Question
from solo_hub.core.settings import StudentSettings
from solo_hub.models.prompts import PromptBuilder
from solo_hub.selection.llkd import Llkd
from solo_hub.student.objectives.material import TrainingData
from solo_hub.student.training import train

OPTIONS = ("rain", "fog", "hail", "frost")
NAMES = ["ab", "cd", "ef", "gh", "ij", "kl", "mn", "op", "qr", "st", "uv"]


def example(i: int) -> Example:
    option = i % 4
    probabilities = tuple(0.4 + i / 40 if place == option else (0.6 - i / 40) / 3 for place in range(4))
    label = PseudoLabel(f"q{i}", option, probabilities, OPTIONS[option], max(probabilities), (), 0, "text", "k")
    return Example(Question(f"q{i}", f"What does {NAMES[i]} bring?", OPTIONS), label)


EXAMPLES = [example(i) for i in range(len(NAMES))]
LLKD = {"momentum": 0.5, "start_confidence": 0.0, "start_uncertainty": 0.0}  # keeps enough of so few to learn something
PASSAGES = {f"q{i}": (Passage(f"p{i}", f"The {NAMES[i]} brings rain.", 1.0),) for i in range(len(NAMES))}


def run(model: Path, folder: Path, changes: dict, *, llkd: bool = False, **more):
    """Train the tiny model; everything but the settings named is fixed."""
    settings = StudentSettings(
        **{"rank": 4, "alpha": 8, "learning_rate": 0.02, "epochs": 2, "batch_size": 4, "checkpoint_every": 2, **changes}
    )
    data = TrainingData(load_engine(model), PromptBuilder(), EXAMPLES, "text", PASSAGES)
    return train(
        data, settings, seed=3, base="owner/base", commit="c0ffee", work=folder / "work", out=folder / "adapter",
        selector=Llkd(LLKD, 0) if llkd else None, **more,
    )  # fmt: skip


class Interrupted(Exception):  # noqa: N818 - stands for a killed process
    pass


def interrupt():
    raise Interrupted


def kill():
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def after(step: int, do=interrupt):
    """A progress callback that calls `do` after a step of this run."""
    done = 0

    def progress(count: int, detail: str = "") -> None:
        nonlocal done
        done += count
        if done >= step:
            do()

    return progress


def note_what_is_held(model: Path, folder: Path) -> None:
    """Shard, and write how many numbers this process holds of the layers and elsewhere, and when gathered."""
    from solo_hub.models import adapters
    from solo_hub.run.processes import Processes
    from solo_hub.student import sharding

    engine, settings, processes = load_engine(model), StudentSettings(rank=4), Processes.here(cpu=True)
    adapters.attach(engine, settings)

    def count(*, layers: bool, whole: bool = False) -> int:
        named = engine.model.named_parameters()
        some = [p for name, p in named if (".layers." in name and "lora_" not in name) == layers]
        return sum(p.numel() if whole or not hasattr(p, "to_local") else p.to_local().numel() for p in some)

    sharding.shard(engine, processes)
    held = {"layers": count(layers=True), "layers_whole": count(layers=True, whole=True)}
    held |= {"elsewhere": count(layers=False), "elsewhere_whole": count(layers=False, whole=True)}
    sharding.gather(engine, settings)
    held["gathered"] = count(layers=True) + count(layers=False)
    (folder.parent / f"held-{processes.rank}.json").write_text(json.dumps(held), "utf-8")


if __name__ == "__main__":
    changes = json.loads(sys.argv[3])
    if changes.pop("only_shard", False):
        note_what_is_held(Path(sys.argv[1]), Path(sys.argv[2]))
        sys.exit()
    die = changes.pop("die_after", None)
    run(
        *(Path(sys.argv[1]), Path(sys.argv[2]), changes),
        llkd="llkd" in sys.argv,
        progress=after(die, kill) if die else None,
    )
