"""LoRA in training on a CPU: each adapted product with its two small ones as one operation, in the base's precision.

peft keeps the adapter in float32 beside a base in bfloat16, and so converts every input and output of every adapted
module, element by element. Here the adapter's weights are rounded to the base's precision instead, as mixed-precision
training does: what is updated and saved stays float32. Scoring is left to peft.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def speed_up(model: Any) -> None:
    """Let a peft model's plain LoRA modules train that way; others stay as they are."""
    import torch
    from peft.tuners.lora import Linear

    operation = _operation()
    for module in model.modules():
        plain = isinstance(module, Linear) and type(module.base_layer) is torch.nn.Linear and not module.lora_variant
        if plain and all(isinstance(dropout, torch.nn.Identity) for dropout in module.lora_dropout.values()):
            module.forward = functools.partial(_forward, module, module.forward, operation)


def _forward(module: Any, usual: Callable[..., Any], operation: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    import torch

    active = [name for name in module.active_adapters if name in module.lora_A]
    training = module.training and torch.is_grad_enabled()
    if not training or module.disable_adapters or module.merged or len(active) != 1 or args or kwargs:
        return usual(x, *args, **kwargs)
    (name,) = active
    base, down, up = module.base_layer, module.lora_A[name].weight, module.lora_B[name].weight
    return operation.apply(x, base.weight, base.bias, down, up, module.scaling[name])


@functools.cache
def _operation() -> Any:
    """The autograd function of y = x W' + b + s (x A') B', where W and b are frozen."""
    import torch

    class Lora(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, weight: Any, bias: Any, down: Any, up: Any, scale: float) -> Any:
            ctx.scale, ctx.kept = scale, down.dtype
            rows, down, up = x.flatten(0, -2), down.to(x.dtype), (up * scale).to(x.dtype)
            low = rows @ down.T  # (tokens, rank)
            ctx.save_for_backward(rows, weight, down, up, low)
            out = torch.nn.functional.linear(rows, weight, bias).addmm_(low, up.T)
            return out.unflatten(0, x.shape[:-1])

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            rows, weight, down, up, low = ctx.saved_tensors
            out = gradients[0].flatten(0, -2)
            through = out @ up  # (tokens, rank)
            into = None
            if ctx.needs_input_grad[0]:
                into = (out @ weight).addmm_(through, down).unflatten(0, gradients[0].shape[:-1])
            return into, None, None, (through.T @ rows).to(ctx.kept), (out.T @ low).to(ctx.kept) * ctx.scale, None

    return Lora
