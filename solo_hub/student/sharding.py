"""The base sharded over the training processes: each holds a part of every layer (FSDP).

Only the frozen base is sharded, layer by layer (torch's `fully_shard`); a layer is unsharded during its forward and
backward pass and resharded afterwards. The adapter is small: every process holds all of it, and its gradients are
summed as without sharding (`processes`). So a step is that of a single process, and saving does not change. Embeddings
and head are not sharded: they are used outside the layers.

All processes must run a sharded layer at the same time, but their shares of a batch may need different numbers of
passes: in `LockstepForwards`, processes that have finished run dummy forwards.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from solo_hub.core.errors import ConfigError
from solo_hub.core.settings import StudentSettings
from solo_hub.models import adapters, loading
from solo_hub.run.processes import Processes

if TYPE_CHECKING:
    from solo_hub.models.causal import CausalEngine

ASKED = "ACCELERATE_USE_FSDP"


class LockstepForwards:
    """Keeps the number of forward passes equal in all processes; a no-op if the model is not sharded.

    Args:
        engine: The engine with the model.
        sharded: Whether it is sharded.
    """

    def __init__(self, engine: CausalEngine, *, sharded: bool) -> None:
        self.engine, self.sharded, self._open = engine, sharded, False
        self._dummy_losses: list[Any] = []
        if sharded:
            _backbone(engine).register_forward_pre_hook(lambda *_: self._before(), prepend=True)

    @contextmanager
    def lockstep(self) -> Iterator[list[Any]]:
        """Run the forward passes within this context in lockstep with the other processes.

        Yields:
            A list, filled on exit, of zero-valued losses of dummy forwards; add them to the loss so that every rank
            runs the same backward passes.
        """
        if not self.sharded:
            yield []
            return
        self._dummy_losses, self._open = [], True
        yield self._dummy_losses
        while (kind := self._next(None)) is not None:
            self._dummy_forward(learning=kind)
        self._open = False

    def _before(self) -> None:
        """Before a pass of this process: wait for its turn, running dummy forwards for passes of the other kind."""
        import torch

        if not self._open:
            return
        requested = torch.is_grad_enabled()
        while (kind := self._next(requested)) is not requested:
            self._dummy_forward(learning=bool(kind))

    def _next(self, requested: bool | None) -> bool | None:  # noqa: FBT001 - a kind of pass, not a switch
        """The kind of the next common pass: True with gradients, None if no process has one left."""
        import torch
        import torch.distributed as dist

        requests = torch.tensor([requested is True, requested is False], dtype=torch.int32, device=self.engine.device)
        dist.all_reduce(requests)
        learning, asking = requests.tolist()
        # passes with gradients first: every process must have the same number of them, in the same order
        return True if learning else (False if asking else None)

    def _dummy_forward(self, *, learning: bool) -> None:
        import torch

        self._open = False
        with torch.set_grad_enabled(learning):
            zero = _empty_pass(self.engine)
        if learning:
            self._dummy_losses.append(zero)
        self._open = True


def shard(engine: CausalEngine, processes: Processes) -> LockstepForwards:
    """Shard the base's layers over the processes if launched with `--use_fsdp`.

    Args:
        engine: Its model has the new adapter attached.
        processes: The training processes.

    Raises:
        ConfigError: This model, adapter or setting of the launcher cannot be sharded.
    """
    if not processes.sharded:
        return LockstepForwards(engine, sharded=False)
    quantised = loading.quantisation(engine.model.config) is not None
    if quantised or getattr(engine, "classifies", False):
        what = "A base in 4 bits" if quantised else "An encoder"
        raise ConfigError(f"{what} cannot be sharded (FSDP).", hint="Launch with --multi_gpu.")
    if os.environ.get("FSDP_OFFLOAD_PARAMS") == "true":
        raise ConfigError("CPU offloading (fsdp_offload_params) is not supported.", hint="Launch without it.")
    import torch
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model, backbone = engine.model.get_base_model(), _backbone(engine)
    kinds = set(getattr(model, "_no_split_modules", None) or ())
    layers = [module for module in backbone.modules() if type(module).__name__ in kinds]
    if not layers:
        raise ConfigError(f"The layers of {engine.name} are unknown: no sharding.", hint="Launch with --multi_gpu.")
    whole = {p for p in engine.model.parameters() if p.requires_grad}
    reshard_after_forward = os.environ.get("FSDP_RESHARD_AFTER_FORWARD", "true") != "false"
    mesh = init_device_mesh(engine.device.split(":")[0], (processes.count,))
    for layer in layers:
        fully_shard(layer, mesh=mesh, reshard_after_forward=reshard_after_forward, ignored_params=whole)
    inside = {id(p) for layer in layers for p in layer.parameters()}
    outside = {p for p in backbone.parameters() if id(p) not in inside}
    fully_shard(backbone, mesh=mesh, reshard_after_forward=reshard_after_forward, ignored_params=whole | outside)
    # DDP of the trainer would broadcast the base; gradients are reduced by us
    frozen = [name for name, p in engine.model.named_parameters() if not p.requires_grad]
    engine.model._ddp_params_and_buffers_to_ignore = frozen  # noqa: SLF001 - the name torch looks for
    with (
        torch.no_grad()
    ):  # unsharded weights are allocated in the first pass; allocated in inference mode they cannot be trained with
        _empty_pass(engine)
    return LockstepForwards(engine, sharded=True)


def gather(engine: CausalEngine, settings: StudentSettings) -> None:
    """Attach the trained adapter to an unsharded base; from here on processes are independent."""
    import torch
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    with torch.no_grad():
        trained = {name: value.clone() for name, value in get_peft_model_state_dict(engine.model).items()}
    engine.reload()
    adapters.attach(engine, settings)
    set_peft_model_state_dict(engine.model, trained)


@contextmanager
def without_trainer_fsdp() -> Iterator[None]:
    """Keep the trainer from applying FSDP itself: it would shard the adapter too."""
    requested = os.environ.pop(ASKED, None)
    try:
        yield
    finally:
        if requested is not None:
            os.environ[ASKED] = requested


def _backbone(engine: CausalEngine) -> Any:
    model = engine.model.get_base_model()
    return getattr(model, model.base_model_prefix)


def _empty_pass(engine: CausalEngine) -> Any:
    """Run one token through the model; returns a zero-valued loss on its graph."""
    import torch

    token = torch.tensor([[0]], device=engine.device)
    return _backbone(engine)(input_ids=token, use_cache=False).last_hidden_state.sum() * 0.0
