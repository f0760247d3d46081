"""How prompts and options share a row: integer arithmetic, checked by hand and as properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.models.packing import LONGEST_ROW, STEP, Tree, branches_alone, even_row, plan, spread

tokens = st.integers(1, 99)
sequences = st.lists(tokens, min_size=1, max_size=12).map(tuple)
trees = st.builds(Tree, sequences, st.lists(sequences, min_size=1, max_size=5).map(tuple))
forests = st.lists(trees, min_size=1, max_size=6)


def test_two_trees_in_one_row_by_hand():
    """A prompt (5, 6) with the options (7) and (8, 9), and a prompt (1) with the option (2), in a row of eight.

    column     0  1 | 2 | 3  4 | 5 | 6 | 7
    token      5  6 | 7 | 8  9 | 1 | 2 | pad
    position   0  1 | 2 | 2  3 | 0 | 1 | 0
    """
    (layout,) = plan([Tree((1,), ((2,),)), Tree((5, 6), ((7,), (8, 9)))], row=8, pad_token=0)
    assert layout.tokens.tolist() == [[5, 6, 7, 8, 9, 1, 2, 0]]
    assert layout.positions.tolist() == [[0, 1, 2, 2, 3, 0, 1, 0]]
    assert layout.tree.tolist() == [[1, 1, 1, 1, 1, 0, 0, -1]]
    assert layout.branch.tolist() == [[-1, -1, 0, 1, 1, -1, 0, -1]]
    # both options are predicted from the prompt's last token (column 1), and 9 from 8
    assert layout.source.tolist() == [[0, 1], [0, 1], [0, 3], [0, 5]]
    assert layout.target.tolist() == [7, 8, 9, 2]
    assert layout.owner.tolist() == [1, 2, 2, 0]
    assert layout.branches == 3
    sees = ["".join(".x"[int(cell)] for cell in row) for row in layout.mask()[0, 0]]
    assert sees == [
        "x.......",
        "xx......",
        "xxx.....",
        "xx.x....",  # the second option does not see the first
        "xx.xx...",
        ".....x..",  # nor the second tree the first
        ".....xx.",
        ".......x",  # padding sees itself
    ]


def test_no_trees():
    assert plan([]) == []


def test_a_long_tree_has_a_row_of_its_own():
    short, long = Tree((1,), ((2,),)), Tree(tuple(range(1, 70)), ((1,), (2,)))
    layouts = plan([short, long, short], row=16)
    assert [layout.tokens.shape for layout in layouts] == [(1, 8), (1, 72)]


def test_rows_of_a_layout_are_as_long_as_its_fullest_needs():
    """Trees of 9, 4 and 4 tokens in rows of at most ten: 9 | 4 + 4, rounded up, but to no more than ten."""
    some = [Tree((1,) * 8, ((2,),)), Tree((1,) * 3, ((2,),)), Tree((1,) * 3, ((2,),))]
    assert [layout.tokens.shape for layout in plan(some, row=10)] == [(2, 10)]
    assert [layout.tokens.shape for layout in plan(some, row=10, most=1)] == [(1, 10), (1, 8)]


def test_one_continuation_a_row():
    tree = Tree((5, 6), ((7,), (8, 9)))
    first, second = spread([tree, tree], most=3)
    assert first.tokens.tolist() == [[5, 6, 7, 0], [5, 6, 8, 9], [5, 6, 7, 0]]
    assert first.source.tolist() == [[0, 1], [1, 1], [1, 2], [2, 1]]
    assert (first.owner.tolist(), second.owner.tolist()) == ([0, 1, 1, 2], [3, 3])
    assert second.tokens.tolist() == [[5, 6, 8, 9]]


@pytest.mark.parametrize("tree", [((), ((1,),)), ((1,), ((),)), ((1,), ((2,), ()))])
def test_nothing_is_predicted_from_nothing(tree):
    with pytest.raises(ValueError, match="at least one token"):
        Tree(*tree)


@given(forests, st.integers(8, 64), st.none() | st.integers(1, 3))
def test_every_token_is_laid_out_once_and_every_answer_token_scored_once(some, row, most):
    layouts = plan(some, row=row, most=most)
    assert all(len(layout.tokens) <= (most or len(some)) for layout in layouts)
    total = sum(int((layout.tree >= 0).sum()) for layout in layouts)
    assert total == sum(tree.length for tree in some)
    flat = [branch for tree in some for branch in tree.branches]
    scored = [[] for _ in flat]
    for layout in layouts:
        for owner, target in zip(layout.owner, layout.target, strict=True):
            scored[owner].append(int(target))
    assert [tuple(branch) for branch in scored] == flat


@given(forests, st.integers(8, 64))
def test_what_a_scored_token_sees_is_its_prompt_and_its_own_option_so_far(some, row):
    """Follow the mask from each scored token: the tokens it may attend to, by position, are those of running text."""
    flat = [(tree.prompt, branch) for tree in some for branch in tree.branches]
    for layout in plan(some, row=row):
        mask, seen = layout.mask()[:, 0], {}
        for (r, column), target, owner in zip(layout.source, layout.target, layout.owner, strict=True):
            prompt, branch = flat[owner]
            step = seen.setdefault(owner, 0)
            seen[owner] += 1
            context = np.flatnonzero(mask[r, column])
            assert layout.tokens[r, context].tolist() == [*prompt, *branch[:step]]
            assert layout.positions[r, context].tolist() == list(range(len(prompt) + step))
            assert target == branch[step]


@given(forests, st.integers(8, 64))
def test_padding_sees_itself_alone_and_nobody_sees_it(some, row):
    for layout in plan(some, row=row):
        mask = layout.mask()[:, 0]
        for r, column in np.argwhere(layout.tree < 0):
            assert np.flatnonzero(mask[r, column]).tolist() == [column]
            assert np.flatnonzero(mask[r, :, column]).tolist() == [column]


@given(forests)
def test_the_same_trees_are_laid_out_the_same_way(some):
    for one, two in zip(plan(some), plan(some), strict=True):
        assert one.tokens.tolist() == two.tokens.tolist()
        assert one.owner.tolist() == two.owner.tolist()


@given(forests)
def test_a_batch_that_fits_one_row_gets_one(some):
    """Rows are as long as the batch: less than one step of padding."""
    total = sum(tree.length for tree in some)
    row = even_row(some)
    assert row % STEP == 0
    assert total <= row < total + STEP
    (layout,) = plan(some, row=row)
    assert layout.tokens.shape == (1, row)


@given(st.lists(st.integers(2, 200), min_size=1, max_size=60))
def test_a_large_batch_is_spread_evenly(lengths):
    some = [Tree((1,) * (length - 1), ((2,),)) for length in lengths]
    rows = -(-sum(lengths) // LONGEST_ROW)
    assert sum(len(layout.tokens) for layout in plan(some, row=even_row(some))) <= rows


def test_the_row_of_nothing():
    assert even_row([]) == STEP


def test_what_follows_a_prompt_that_was_read():
    layout = branches_alone([Tree((7, 8, 9), ((1, 2), (3,))), Tree((4,), ((5,),))])
    assert layout.tokens.tolist() == [[9, 1, 2, 3], [4, 5, 0, 0]]
    assert layout.positions[0].tolist() == [2, 3, 4, 3]
    assert layout.positions[1, :2].tolist() == [0, 1]
    assert (layout.target.tolist(), layout.owner.tolist()) == ([1, 2, 3, 5], [0, 0, 1, 2])
    assert layout.source.tolist() == [[0, 0], [0, 1], [0, 0], [1, 0]]
