"""Several processes training one adapter: who does which share, and how the shares become one step.

Started by `accelerate launch` (or torchrun), each process holds the whole model, or a part of each layer (`sharding`),
and takes every n-th sample of every batch; gradients, those of the adapter alone and so small, are added up before the
optimiser's step. Losses are divided by what the *whole* batch weighs, so that the sum of the shares is the step one
process would have done.
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
        sharded: Whether the base is to be cut up among them in training.
    """

    rank: int = 0
    count: int = 1
    sharded: bool = False

    @classmethod
    def here(cls, *, cpu: bool) -> Processes:
        """Join the others, where a launcher has started some; alone otherwise.

        Raises:
            ConfigError: The launcher is to shard the model by DeepSpeed.
        """
        if launch.count() == 1:
            return cls()
        if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
            raise ConfigError(
                "The base model is not cut up among the processes by DeepSpeed.",
                hint="Launch by `accelerate launch --use_fsdp`, or by --multi_gpu; student.adapter=qlora saves memory.",
            )
        # each process reads the base for itself: what the launcher means would leave all but the first with nothing
        os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
        from accelerate import PartialState

        # the others wait while the first one retrieves or evaluates, which may take hours
        state = PartialState(cpu=cpu, timeout=timedelta(days=7))
        sharded = os.environ.get("ACCELERATE_USE_FSDP") == "true"
        return cls(state.process_index, state.num_processes, sharded)

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """This process's part of a list that all of them hold."""
        return list(items[self.rank :: self.count])

    def whole(self, mine: Sequence[T]) -> list[T]:
        """The list of which every process holds its share, in its order."""
        if self.count == 1:
            return list(mine)
        import torch.distributed as dist

        parts: list[Any] = [None] * self.count
        dist.all_gather_object(parts, list(mine))
        total = sum(len(part) for part in parts)
        return [parts[i % self.count][i // self.count] for i in range(total)]

    def add_up(self, tensors: Iterable[Any]) -> None:
        """Replace each tensor by its sum over the processes, in one exchange."""
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
        """Let the first process do something that leaves files, and the others, when it is done, find them there."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def wait(self) -> None:
        """Go on when all are here."""
        if self.count > 1:
            import torch.distributed as dist

            dist.barrier()
