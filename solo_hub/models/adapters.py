"""Adapters by peft: attach to the engine's model, save with the base's Hub name and commit, load again, check."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from solo_hub.core.errors import DependencyError, ModelError
from solo_hub.core.plugins import Prompt
from solo_hub.core.redaction import first_line_scrubbed
from solo_hub.core.settings import StudentSettings
from solo_hub.models import adapter_safety as foreign
from solo_hub.models.loading import NF4

if TYPE_CHECKING:
    from solo_hub.models.causal import CausalEngine

NAME = "default"  # peft's own name for the only adapter
CHANGED = 1e-3  # nats: an adapter that moves no score by this much has learnt nothing
SAME = 1e-4  # nats: saved and reloaded weights are the same numbers, only the order of additions may differ
SAME_IN_4_BITS = 0.05  # nats: kernels for 4 bits round differently from call to call


def prepare(engine: CausalEngine, settings: StudentSettings) -> None:
    """Bring the base into the form that is trained on: in 4 bits for `qlora`, as the engine has it otherwise.

    Raises:
        DependencyError: bitsandbytes is not installed.
        ModelError: It cannot work on this machine, or with this model.
    """
    if settings.adapter == "qlora":
        engine.cast(NF4)


def finish(engine: CausalEngine, settings: StudentSettings, folder: Path) -> None:
    """Undo `prepare`: the base in its own precision, under the adapter as saved."""
    if settings.adapter == "qlora":
        engine.reload()
        load(engine, folder)


def attach(engine: CausalEngine, settings: StudentSettings) -> int:
    """Put a fresh adapter on the engine's model.

    Args:
        engine: Its model is wrapped in place; the base weights stay where they are.
        settings: Kind, rank, modules.

    Returns:
        Number of trainable parameters.

    Raises:
        ModelError: The target modules are not in this model.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise DependencyError("peft", extra="train", purpose="Training an adapter") from error

    modules = settings.target_modules if isinstance(settings.target_modules, str) else list(settings.target_modules)
    if modules == "all-linear" and settings.layers is not None:  # peft takes layers with names only
        modules = _linear_modules(engine)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=modules,
        use_dora=settings.adapter == "dora",
        use_rslora=settings.adapter == "rslora",
        layers_to_transform=list(settings.layers) if settings.layers is not None else None,
        bias="none",
        task_type=getattr(engine, "task_type", "CAUSAL_LM"),
    )
    try:
        engine.model = get_peft_model(engine.model, config)
    except ValueError as error:
        raise ModelError(
            f"No adapter can be put on {engine.name}: {str(error).splitlines()[0]}",
            hint="Set student.target_modules to modules of this model, or all-linear; student.layers to its layers.",
        ) from error
    if settings.gradient_checkpointing:
        enable = getattr(engine.model, "activation_checkpointing_enable", None)  # its name from transformers 5.23 on
        enable = enable or engine.model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    # The local folder, for as long as training lasts: at every checkpoint peft looks for the base's config.json, and
    # would ask the real Hub for it by name.
    engine.model.peft_config[NAME].base_model_name_or_path = str(engine.path)
    return int(sum(p.numel() for p in engine.model.parameters() if p.requires_grad))


def _linear_modules(engine: CausalEngine) -> list[str]:
    """Names of the linear modules, the head excepted: what `all-linear` means."""
    import torch

    head = engine.model.get_output_embeddings()
    found = {
        name.rsplit(".", 1)[-1]
        for name, module in engine.model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    return sorted(found)


def save(engine: CausalEngine, folder: Path, *, base: str, commit: str | None) -> None:
    """Save the adapter as strangers load it.

    Args:
        engine: Carries the adapter.
        folder: Where it goes.
        base: Hub id of the base model, so that strangers find it.
        commit: The base's commit.
    """
    config = engine.model.peft_config[NAME]
    config.base_model_name_or_path, config.revision = base, commit
    # "auto" would ask the Hub for the base's vocabulary; no embedding is trained here
    engine.model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty template; the card is written from the report


def load(engine: CausalEngine, folder: Path) -> None:
    """Put a saved adapter on the engine's model.

    Raises:
        ModelError: The folder does not hold an adapter for this model.
    """
    from peft import PeftModel

    if getattr(engine.model, "peft_config", None):
        return
    with _readable(folder, engine):
        # by way of the CPU: where GPUs are lent (ZeroGPU) there is none until a question is asked
        model = PeftModel.from_pretrained(engine.model, str(folder), is_trainable=False, torch_device="cpu")
    engine.model = model.to(engine.device).eval()


@contextmanager
def beside(engine: CausalEngine, folder: Path, name: str) -> Iterator[None]:
    """Put another adapter of the same base on, in place of the student's, and take it off again.

    Args:
        engine: Carries the student's adapter.
        folder: The other adapter.
        name: What peft calls it meanwhile.

    Raises:
        ModelError: The folder does not hold an adapter for this model.
    """
    model = engine.model
    with _readable(folder, engine):
        model.load_adapter(str(folder), adapter_name=name, is_trainable=False)
    try:
        model.set_adapter(name)
        yield
    finally:
        model.set_adapter(NAME)
        model.delete_adapter(name)


@contextmanager
def _readable(folder: Path, engine: CausalEngine) -> Iterator[None]:
    """Say in a sentence that a folder holds no adapter for this model, and which of its files is to blame."""
    from peft import PeftConfig
    from safetensors import safe_open

    config, weights = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    if not weights.is_file():
        raise ModelError(
            f"The adapter in '{folder}' cannot be loaded: there is no adapter_model.safetensors, and pickled weights, "
            "which can run code, are not read.",
            hint="Delete that folder and run the same command again to train it anew, or choose another adapter.",
        )
    if not config.is_file():  # peft would look for a repo of this name
        raise ModelError(
            f"The adapter in '{folder}' cannot be loaded: there is no {config.name}.",
            hint="Delete that folder and run the same command again to train it anew, or choose another adapter.",
        )
    with _blaming(f"'{config}'"), _unrelated_warnings_off():
        PeftConfig.from_pretrained(str(folder))
    with _blaming(f"'{weights}'"), safe_open(weights, framework="np"):
        pass
    with _blaming(f"'{config}'"):
        foreign.check(folder, [name for name, _ in engine.model.named_modules()])
    with _blaming(f"'{config}' and {weights.name}"), _unrelated_warnings_off():
        yield


@contextmanager
def _blaming(files: str) -> Iterator[None]:
    """Turn whatever peft stumbles over, which checks little of what it reads, into a sentence about these files."""
    try:
        yield
    except MemoryError:  # not theirs
        raise
    except Exception as error:
        said = first_line_scrubbed(error) or type(error).__name__
        raise ModelError(
            f"The adapter cannot be loaded from {files}: {said.rstrip('.')}.",
            hint="Delete that folder and run the same command again to train it anew, or choose another adapter.",
        ) from error


def check(engine: CausalEngine, folder: Path, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]]) -> float:
    """Reload what was saved and see that it is the trained student and not the base.

    Adapters that silently do nothing are common (wrong key names, weights left out); this is the check against them.

    Returns:
        The largest change of an answer's log-probability the adapter makes, in nats.

    Raises:
        ModelError: The saved adapter does nothing, or is not the one that was trained.
    """
    trained = scores(engine, prompts, answers)
    with engine.adapter(False):
        base = scores(engine, prompts, answers)
    model = engine.model
    with _unrelated_warnings_off():
        model.load_adapter(str(folder), adapter_name="reloaded", is_trainable=False)
    try:
        model.set_adapter("reloaded")
        reloaded = scores(engine, prompts, answers)
    finally:
        model.set_adapter(NAME)
        model.delete_adapter("reloaded")
    change = float(np.max(np.abs(trained - base)))
    same = SAME_IN_4_BITS if engine.precision == NF4 else SAME
    if float(np.max(np.abs(trained - reloaded))) > same * (1 + float(np.max(np.abs(trained)))):
        raise ModelError(
            "The adapter as saved does not answer like the one that was trained.",
            hint="This is a defect; please report it with the run folder.",
        )
    if change < CHANGED:
        raise ModelError(
            "The trained adapter does not change the base model's answers.",
            hint="Raise student.learning_rate or student.epochs, or keep more labels.",
        )
    return change


def scores(engine: CausalEngine, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]]) -> np.ndarray:
    """Log-probabilities of all answers after their prompts, in one row."""
    return np.array([value for scores in engine.score(prompts, answers) for value in scores or ()])


@contextmanager
def _unrelated_warnings_off() -> Iterator[None]:
    """Silence peft: it warns when it cannot look up the base's vocabulary on the Hub, and ours has not changed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
