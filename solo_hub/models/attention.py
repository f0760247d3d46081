"""Attention within each tree of packed rows, for CPUs: a row may then be as long as there are tokens.

Under a mask over the whole row, a CPU computes what every token thinks of every other and throws nearly all of it away.
Here the trees are taken out of their rows, side by side, and put back afterwards; only attention knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

    from solo_hub.models.packing import Layout

NAME = "solo_hub_trees"
"""The name that transformers knows it by."""


class Trees:
    """Where the trees of a layout are, and what their tokens see; trees of similar length share a group.

    Args:
        layout: `R` rows of `L` tokens.
    """

    def __init__(self, layout: Layout) -> None:
        import torch

        tree, branch = layout.tree.reshape(-1), layout.branch.reshape(-1)
        spans: dict[int, list[np.ndarray[Any, Any]]] = {}
        for number in np.unique(tree[tree >= 0]):
            span = np.flatnonzero(tree == number)
            spans.setdefault(len(span).bit_length(), []).append(span)
        self.groups: list[tuple[torch.Tensor, torch.Tensor]] = []
        """Of each group of `S` trees of up to `N` tokens: their tokens' places `(S, N)` and a mask `(S, 1, N, N)`."""
        back, before = np.zeros(len(tree), np.int64), 0
        for members in spans.values():
            longest = max(map(len, members))
            places = np.stack([np.pad(span, (0, longest - len(span)), mode="edge") for span in members])
            real = np.arange(longest) < np.array([len(span) for span in members])[:, None]
            own = branch[places]
            sees = np.tril(np.ones((longest, longest), np.bool_)) & real[:, None, :]
            sees &= (own[:, None, :] == -1) | (own[:, :, None] == own[:, None, :])
            back[places[real]] = before + np.flatnonzero(real)
            before += real.size
            self.groups.append((torch.from_numpy(places), torch.from_numpy(sees[:, None])))
        self.back = torch.from_numpy(back)
        """`(R * L,)` where in the groups' outputs, one after the other, a token's own is; padding has the first's."""


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    trees: Trees | None = None,
    **how: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers asks for it, `(R, heads, L, size)` to `(R, L, heads, size)`.

    Args:
        module: The layer's attention.
        query: Queries.
        key: Keys, of as many heads or fewer.
        value: Values.
        attention_mask: What may be seen; not looked at where there are trees.
        trees: The trees in these rows; without them it is the usual attention.
        how: Scale, dropout and what else the model says.
    """
    import torch
    from torch.nn.functional import scaled_dot_product_attention
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if trees is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **how)  # type: ignore[no-any-return, unused-ignore]
    rows, _, length, _ = query.shape
    # the kernel's backward pass is several times as fast in float32
    wide = torch.float32 if query.requires_grad else query.dtype
    dropout, scale = how.get("dropout", 0.0), how.get("scaling")
    flat = [x.transpose(1, 2).flatten(0, 1) for x in (query, key, value)]  # (R L, heads, size)
    made = []
    for places, sees in trees.groups:
        q, k, v = (
            x.index_select(0, places.flatten()).to(wide).unflatten(0, places.shape).transpose(1, 2) for x in flat
        )
        seen = scaled_dot_product_attention(q, k, v, sees, dropout, scale=scale, enable_gqa=True)
        made.append(seen.transpose(1, 2).flatten(0, 1))
    return torch.cat(made).to(query.dtype).index_select(0, trees.back).unflatten(0, (rows, length)), None


def install(model: Any) -> None:
    """Let a model attend within trees, if it leaves attention to transformers."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if model.config._attn_implementation == "sdpa":  # noqa: SLF001 - there is no other way to know
        AttentionInterface.register(NAME, attend)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        model.set_attn_implementation(NAME)


def installed(model: Any) -> bool:
    """Whether a model can attend within trees."""
    return bool(model.config._attn_implementation == NAME)  # noqa: SLF001
