"""Several processes that train one adapter: how work is divided, and how gradients are summed.

Started by `accelerate launch` (or torchrun), each process holds the whole model, or a shard of each layer (`sharding`),
and takes every n-th sample of every batch. Gradients, which only the small adapter has, are summed before the optimiser
step. Losses are divided by the normalizer of the *whole* batch, so the sum equals the step of a single process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from solo_hub.core import launch
from solo_hub.core.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those that train together.

    Attributes:
        rank: Number of this process.
        count: How many there are.
        sharded: Whether the base is sharded across them in training.
    """

    rank: int = 0
    count: int = 1
    sharded: bool = False

    @classmethod
    def here(cls, *, cpu: bool) -> Processes:
        """Initialise the process group if a launcher started several processes.

        Raises:
            ConfigError: The launcher is configured for DeepSpeed.
        """
        if launch.count() == 1:
            return cls()
        if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
            raise ConfigError(
                "Sharding the base model with DeepSpeed is not supported.",
                hint="Use `accelerate launch --use_fsdp`, or --multi_gpu; student.adapter=qlora saves memory.",
            )
        # each process loads the base itself: with the launcher's setting only the first would have weights
        os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
        from accelerate import PartialState

        # the others wait while the first process retrieves or evaluates, which may take hours
        state = PartialState(cpu=cpu, timeout=timedelta(days=7))
        sharded = os.environ.get("ACCELERATE_USE_FSDP") == "true"
        return cls(state.process_index, state.num_processes, sharded)

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """This process's share of a list that all processes have."""
        return list(items[self.rank :: self.count])

    def whole(self, own_share: Sequence[T]) -> list[T]:
        """Gather the shares of all processes into one list, in its original order."""
        if self.count == 1:
            return list(own_share)
        import torch.distributed as dist

        parts: list[Any] = [None] * self.count
        dist.all_gather_object(parts, list(own_share))
        total = sum(len(part) for part in parts)
        return [parts[i % self.count][i // self.count] for i in range(total)]

    def add_up(self, tensors: Iterable[Any]) -> None:
        """Replace each tensor by its sum over the processes, in one all-reduce."""
        if self.count == 1:
            return
        import torch
        import torch.distributed as dist

        tensors = list(tensors)
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, piece in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(piece.view_as(tensor))

    @contextmanager
    def first_first(self) -> Iterator[None]:
        """Let the first process create files, and the others continue when it is done."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def wait(self) -> None:
        """Wait for all processes."""
        if self.count > 1:
            import torch.distributed as dist

            dist.barrier()
