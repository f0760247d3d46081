"""Adapters with peft: attach to the engine's model, save with the base's repo id and commit, load, verify."""

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
from solo_hub.models import lora
from solo_hub.models.loading import NF4

if TYPE_CHECKING:
    from solo_hub.models.causal import CausalEngine

NAME = "default"  # peft's own name for the only adapter
CHANGED = 1e-3  # nats: an adapter that changes no score by this much has learnt nothing
SAME = 1e-4  # nats: reloaded weights are equal, only the order of additions may differ
SAME_IN_4_BITS = 0.05  # nats: 4-bit kernels are not deterministic


def prepare(engine: CausalEngine, settings: StudentSettings) -> None:
    """Prepare the base for training: quantize it to 4 bits for `qlora`, otherwise leave it as it is.

    Raises:
        DependencyError: bitsandbytes is not installed.
        ModelError: It cannot work on this machine, or with this model.
    """
    if settings.adapter == "qlora":
        engine.cast(NF4)


def finish(engine: CausalEngine, settings: StudentSettings, folder: Path) -> None:
    """Undo `prepare`: restore the base's precision and load the saved adapter."""
    if settings.adapter == "qlora":
        engine.reload()
        load(engine, folder)


def attach(engine: CausalEngine, settings: StudentSettings) -> int:
    """Attach a new adapter to the engine's model.

    Args:
        engine: Its model is wrapped in place; the base weights are not copied.
        settings: Kind, rank, modules.

    Returns:
        Number of trainable parameters.

    Raises:
        ModelError: The model has no such target modules.
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
        layers_to_transform=_layers(engine, settings.layers),
        bias="none",
        task_type=getattr(engine, "task_type", "CAUSAL_LM"),
    )
    try:
        engine.model = get_peft_model(engine.model, config)
    except ValueError as error:
        raise ModelError(
            f"Cannot attach an adapter to {engine.name}: {str(error).splitlines()[0]}",
            hint="Set student.target_modules to modules of this model, or all-linear; student.layers to its layers.",
        ) from error
    if settings.gradient_checkpointing:
        enable = getattr(engine.model, "activation_checkpointing_enable", None)  # its name from transformers 5.23 on
        enable = enable or engine.model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    if engine.device == "cpu":
        lora.speed_up(engine.model)
    # The local folder during training: at every checkpoint peft looks for the base's config.json, and would otherwise
    # request it from the Hub.
    engine.model.peft_config[NAME].base_model_name_or_path = str(engine.path)
    return int(sum(p.numel() for p in engine.model.parameters() if p.requires_grad))


def _layers(engine: CausalEngine, layers: Sequence[int] | float | None) -> list[int] | None:
    """Indices of the layers to adapt: those named, or the upper share; None for all."""
    if not isinstance(layers, float):
        return None if layers is None else list(layers)
    count = engine.model.config.get_text_config().num_hidden_layers
    return list(range(count))[-max(1, round(layers * count)) :]


def _linear_modules(engine: CausalEngine) -> list[str]:
    """Names of the linear modules except the head: the meaning of `all-linear`."""
    import torch

    head = engine.model.get_output_embeddings()
    names = {
        name.rsplit(".", 1)[-1]
        for name, module in engine.model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    return sorted(names)


def save(engine: CausalEngine, folder: Path, *, base: str, commit: str | None) -> None:
    """Save the adapter in the form that users load.

    Args:
        engine: The engine with the adapter.
        folder: Target folder.
        base: Repo id of the base model.
        commit: The base's commit.
    """
    config = engine.model.peft_config[NAME]
    config.base_model_name_or_path, config.revision = base, commit
    # "auto" would request the base's vocabulary from the Hub; embeddings are not trained
    engine.model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty template; the card is written from the report


def load(engine: CausalEngine, folder: Path) -> None:
    """Load a saved adapter into the engine's model.

    Raises:
        ModelError: The folder does not contain an adapter for this model.
    """
    from peft import PeftModel

    if getattr(engine.model, "peft_config", None):
        return
    with _readable(folder, engine):
        # load on the CPU first: on ZeroGPU there is no GPU until a request is served
        model = PeftModel.from_pretrained(engine.model, str(folder), is_trainable=False, torch_device="cpu")
    engine.model = model.to(engine.device).eval()


@contextmanager
def other_adapter(engine: CausalEngine, folder: Path, name: str) -> Iterator[None]:
    """Temporarily activate another adapter of the same base instead of the student's.

    Args:
        engine: The engine with the student's adapter.
        folder: The other adapter.
        name: Its temporary name in peft.

    Raises:
        ModelError: The folder does not contain an adapter for this model.
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
    """Report in one sentence why a folder's adapter cannot be loaded, naming the file at fault."""
    from peft import PeftConfig
    from safetensors import safe_open

    config, weights = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    if not weights.is_file():
        raise ModelError(
            f"The adapter in '{folder}' cannot be loaded: there is no adapter_model.safetensors; pickled weights can "
            "run code and are not loaded.",
            hint="Delete that folder and run the same command again to retrain it, or choose another adapter.",
        )
    if not config.is_file():  # peft would look for a repo with this name
        raise ModelError(
            f"The adapter in '{folder}' cannot be loaded: there is no {config.name}.",
            hint="Delete that folder and run the same command again to retrain it, or choose another adapter.",
        )
    with _naming_files(f"'{config}'"), _unrelated_warnings_off():
        PeftConfig.from_pretrained(str(folder))
    with _naming_files(f"'{weights}'"), safe_open(weights, framework="np"):
        pass
    with _naming_files(f"'{config}'"):
        foreign.check(folder, [name for name, _ in engine.model.named_modules()])
    with _naming_files(f"'{config}' and {weights.name}"), _unrelated_warnings_off():
        yield


@contextmanager
def _naming_files(files: str) -> Iterator[None]:
    """Turn any error of peft, which validates little of what it reads, into one sentence about these files."""
    try:
        yield
    except MemoryError:  # not the files' fault
        raise
    except Exception as error:
        reason = first_line_scrubbed(error) or type(error).__name__
        raise ModelError(
            f"The adapter cannot be loaded from {files}: {reason.rstrip('.')}.",
            hint="Delete that folder and run the same command again to retrain it, or choose another adapter.",
        ) from error


def check(engine: CausalEngine, folder: Path, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]]) -> float:
    """Reload the saved adapter and verify that it is the trained student and not the base.

    Adapters that silently have no effect are common (wrong keys, missing weights); this detects them.

    Returns:
        The largest change of an answer's log-probability by the adapter, in nats.

    Raises:
        ModelError: The saved adapter has no effect, or differs from the trained one.
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
            "The saved adapter does not give the same scores as the trained one.",
            hint="This is a bug; please report it with the run folder.",
        )
    if change < CHANGED:
        raise ModelError(
            "The trained adapter does not change the base model's answers.",
            hint="Increase student.learning_rate or student.epochs, or select more labels.",
        )
    return change


def scores(engine: CausalEngine, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]]) -> np.ndarray:
    """Log-probabilities of all answers after their prompts, flattened."""
    return np.array([value for scores in engine.score(prompts, answers) for value in scores or ()])


@contextmanager
def _unrelated_warnings_off() -> Iterator[None]:
    """Silence peft's warning that it cannot look up the base's vocabulary on the Hub (it is unchanged here).

    And its use of names that transformers is going to drop.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield
