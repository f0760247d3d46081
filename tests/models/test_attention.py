"""Attention within the trees of packed rows is attention under the mask of the whole rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import load_engine

from solo_hub.models import attention
from solo_hub.models.packing import Tree, plan

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")

sequences = st.lists(st.integers(3, 359), min_size=1, max_size=12).map(tuple)
trees = st.builds(Tree, sequences, st.lists(sequences, min_size=1, max_size=4).map(tuple))


@given(st.lists(trees, min_size=1, max_size=6), st.integers(16, 80))
def test_what_a_tree_sees_is_what_the_mask_of_its_row_lets_it_see(some, row):
    for layout in plan(some, row=row):
        made, length = attention.Trees(layout), layout.tokens.shape[1]
        mask, found = layout.mask()[:, 0], np.zeros((layout.tokens.size, layout.tokens.size), bool)
        at, back = 0, made.back.numpy()
        for places, sees in made.groups:
            for span, seen in zip(places.numpy(), sees[:, 0].numpy(), strict=True):
                for place in np.unique(span):
                    slot = int(back[place]) - at  # where in its tree this token's output is taken from
                    assert span[slot] == place
                    found[place, span[seen[slot]]] = True
                at += len(span)
        for r, one in enumerate(mask):
            real = layout.tree[r] >= 0
            inside = slice(r * length, (r + 1) * length)
            assert (found[inside, inside][real] == one[real]).all()
        assert found.sum() == mask[layout.tree >= 0].sum()  # and nothing of another row


@settings(max_examples=15, deadline=None)
@given(st.lists(trees, min_size=1, max_size=5), st.sampled_from([torch.float32, torch.bfloat16]))
def test_values_and_gradients_are_those_under_the_mask(some, dtype):
    (layout,) = plan(some, row=512, most=1)
    torch.manual_seed(0)
    module = torch.nn.Module()
    module.num_key_value_groups, module.is_causal = 2, True
    size = layout.tokens.shape
    states = [torch.randn(*size, heads, 8).to(dtype).transpose(1, 2).requires_grad_() for heads in (4, 2, 2)]
    real = torch.from_numpy(layout.tree >= 0)
    results = []
    for made in (attention.Trees(layout), None):
        out, _ = attention.attend(module, *states, torch.from_numpy(layout.mask()), made, scaling=0.3)
        assert (out.shape, out.dtype) == ((*size, 4, 8), dtype)
        results.append([out[real], *torch.autograd.grad(out[real].float().square().sum(), states)])
    for ours, usual in zip(*results, strict=True):
        assert torch.allclose(ours.float(), usual.float(), atol=1e-5 if dtype == torch.float32 else 0.15, rtol=0.02)


def test_elsewhere_rows_are_shared_under_a_mask(tiny_model):
    """As on a GPU, where nothing is installed."""
    engine = load_engine(tiny_model)
    assert attention.installed(engine.model)
    engine.model.set_attn_implementation("sdpa")
    assert not attention.installed(engine.model)
    some = [Tree((5, 6), ((7,), (8, 9))), Tree((10, 11, 12), ((13,),))]
    masked = engine._score_trees(some, packed=True)
    assert np.max(np.abs(masked - engine._score_trees(some, packed=False))) < 1e-3


def test_a_model_with_attention_of_its_own_is_left_as_it_is(tiny_model):
    engine = load_engine(tiny_model)
    engine.model.set_attn_implementation("eager")
    attention.install(engine.model)
    assert not attention.installed(engine.model)
