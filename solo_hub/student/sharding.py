"""The base cut up among the processes that train together: each holds a part of every layer (FSDP).

What is cut up is the frozen base alone, layer by layer (torch's `fully_shard`); a layer's whole weights are there while
it is passed through, forward and backward, and then let go. The adapter is small: every process holds all of it, and
its gradients are added up as they are without sharding (`processes`). So the step is the one of a single process, and
what is saved is saved as ever. Embeddings and head stay whole too: they are used apart from the layers.

Passing through a layer that is cut up is something all processes do at once, and their shares of a batch need not take
the same number of passes: `LockstepForwards` lets those who have none left go along with an empty one.
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
    """Forward passes through a model, the same number of them in all processes; a no-op where it is not sharded.

    Args:
        engine: Carries the model.
        sharded: Whether it is cut up.
    """

    def __init__(self, engine: CausalEngine, *, sharded: bool) -> None:
        self.engine, self.sharded, self._open = engine, sharded, False
        self._gone_along: list[Any] = []
        if sharded:
            _backbone(engine).register_forward_pre_hook(lambda *_: self._before(), prepend=True)

    @contextmanager
    def together(self) -> Iterator[list[Any]]:
        """What is passed through within is passed through by all.

        Yields:
            A list that holds afterwards, for each pass with gradients that was only gone along with, a scalar 0 on
            its graph: to be added to the loss, so that all go backward together too.
        """
        if not self.sharded:
            yield []
            return
        self._gone_along, self._open = [], True
        yield self._gone_along
        while (kind := self._next(None)) is not None:
            self._dummy_forward(learning=kind)
        self._open = False

    def _before(self) -> None:
        """Before a pass of this process: wait for its turn, and go along with passes of the other kind."""
        import torch

        if not self._open:
            return
        mine = torch.is_grad_enabled()
        while (kind := self._next(mine)) is not mine:
            self._dummy_forward(learning=bool(kind))

    def _next(self, mine: bool | None) -> bool | None:  # noqa: FBT001 - a kind of pass, not a switch
        """The kind of the next pass of all, True with gradients, None where nobody has one left; `mine` is wanted."""
        import torch
        import torch.distributed as dist

        wanted = torch.tensor([mine is True, mine is False], dtype=torch.int32, device=self.engine.device)
        dist.all_reduce(wanted)
        learning, asking = wanted.tolist()
        # first those with gradients: each process is to have as many of them as every other, in the same order
        return True if learning else (False if asking else None)

    def _dummy_forward(self, *, learning: bool) -> None:
        import torch

        self._open = False
        with torch.set_grad_enabled(learning):
            nothing = _empty_pass(self.engine)
        if learning:
            self._gone_along.append(nothing)
        self._open = True


def shard(engine: CausalEngine, processes: Processes) -> LockstepForwards:
    """Cut the base's layers up among the processes, where the launcher was told to (`--use_fsdp`).

    Args:
        engine: Its model carries the fresh adapter.
        processes: Those that train together.

    Raises:
        ConfigError: This model, adapter or setting of the launcher cannot be sharded.
    """
    if not processes.sharded:
        return LockstepForwards(engine, sharded=False)
    quantised = loading.quantisation(engine.model.config) is not None
    if quantised or getattr(engine, "classifies", False):
        what = "A base in 4 bits" if quantised else "An encoder"
        raise ConfigError(f"{what} is not cut up among processes (FSDP).", hint="Launch by --multi_gpu.")
    if os.environ.get("FSDP_OFFLOAD_PARAMS") == "true":
        raise ConfigError("Offloading to the CPU (fsdp_offload_params) is not offered.", hint="Launch without it.")
    import torch
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model, backbone = engine.model.get_base_model(), _backbone(engine)
    kinds = set(getattr(model, "_no_split_modules", None) or ())
    layers = [module for module in backbone.modules() if type(module).__name__ in kinds]
    if not layers:
        raise ConfigError(f"{engine.name} does not tell what its layers are.", hint="Launch by --multi_gpu.")
    whole = {p for p in engine.model.parameters() if p.requires_grad}
    reshard_after_forward = os.environ.get("FSDP_RESHARD_AFTER_FORWARD", "true") != "false"
    mesh = init_device_mesh(engine.device.split(":")[0], (processes.count,))
    for layer in layers:
        fully_shard(layer, mesh=mesh, reshard_after_forward=reshard_after_forward, ignored_params=whole)
    inside = {id(p) for layer in layers for p in layer.parameters()}
    outside = {p for p in backbone.parameters() if id(p) not in inside}
    fully_shard(backbone, mesh=mesh, reshard_after_forward=reshard_after_forward, ignored_params=whole | outside)
    # the trainer wraps the model for several processes, and would send the base around; the gradients we add up
    frozen = [name for name, p in engine.model.named_parameters() if not p.requires_grad]
    engine.model._ddp_params_and_buffers_to_ignore = frozen  # noqa: SLF001 - the name torch looks for
    with (
        torch.no_grad()
    ):  # whole weights live in what the first pass makes; made in inference mode it cannot be trained on
        _empty_pass(engine)
    return LockstepForwards(engine, sharded=True)


def gather(engine: CausalEngine, settings: StudentSettings) -> None:
    """Put the trained adapter on a whole base: from here on each process can do without the others."""
    import torch
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    with torch.no_grad():
        trained = {name: value.clone() for name, value in get_peft_model_state_dict(engine.model).items()}
    engine.reload()
    adapters.attach(engine, settings)
    set_peft_model_state_dict(engine.model, trained)


@contextmanager
def without_trainer_fsdp() -> Iterator[None]:
    """Keep the trainer from sharding on its own: it would shard the adapter, and gather it, too."""
    asked = os.environ.pop(ASKED, None)
    try:
        yield
    finally:
        if asked is not None:
            os.environ[ASKED] = asked


def _backbone(engine: CausalEngine) -> Any:
    model = engine.model.get_base_model()
    return getattr(model, model.base_model_prefix)


def _empty_pass(engine: CausalEngine) -> Any:
    """Pass a token through; returns a scalar 0 on the pass's graph."""
    import torch

    token = torch.tensor([[0]], device=engine.device)
    return _backbone(engine)(input_ids=token, use_cache=False).last_hidden_state.sum() * 0.0
