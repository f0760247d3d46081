"""Packs prompts and their continuations for one forward pass.

A question and its passages are long, the answer options short, so the prompt is encoded once and every option branches
off it:

    tokens     p p p p p p | a a | b b b | c        one *tree*: a prompt and its options, side by side
    positions  0 1 2 3 4 5 | 6 7 | 6 7 8 | 6        every option starts where the prompt ends
    mask       an option sees the prompt and itself, never another option

Several trees share a row, to reduce padding. This is only integer arithmetic on numpy arrays, without a model, so it
can be tested by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

ROW = 256  # tokens: long enough for most questions with six passages, short enough that attention stays cheap
PAD_TO = 64  # longer trees get their own row, rounded up to a multiple of this
LONGEST_ROW = 512  # tokens: attention cost is quadratic
STEP = 8  # tokens: row lengths are multiples of it, to limit compiled shapes


@dataclass(frozen=True, slots=True)
class Tree:
    """A prompt's tokens and those of its continuations, at least one token each.

    Raises:
        ValueError: There is nothing to predict, or nothing to predict it from.
    """

    prompt: tuple[int, ...]
    branches: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not self.prompt or not all(self.branches):
            raise ValueError("a prompt and each of its continuations need at least one token")

    @property
    def length(self) -> int:
        """Total number of tokens."""
        return len(self.prompt) + sum(len(branch) for branch in self.branches)


def cut(tree: Tree, most: int) -> Tree:
    """A small part of a tree, to try something on: the end of its prompt, and the beginnings of four branches."""
    return Tree(tree.prompt[-most:], tuple(branch[:8] for branch in tree.branches[:4]))


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows ready for a model: `R` rows of `L` tokens, `T` scored tokens.

    Attributes:
        tokens: `(R, L)` token ids.
        positions: `(R, L)` position of each token in its own sequence.
        tree: `(R, L)` number of the tree a token belongs to; -1 for padding.
        branch: `(R, L)` number of the branch within the tree; -1 for prompt tokens and padding.
        source: `(T, 2)` row and column of the token whose output predicts a scored token.
        target: `(T,)` id of the scored token.
        owner: `(T,)` flat number of the branch the scored token belongs to, counted over all trees.
        branches: Number of branches in all.
    """

    tokens: Ints
    positions: Ints
    tree: Ints
    branch: Ints
    source: Ints
    target: Ints
    owner: Ints
    branches: int

    def mask(self) -> npt.NDArray[np.bool_]:
        """Attention mask `(R, 1, L, L)`: True where the row's token may attend to the column's.

        A token attends to earlier tokens of its own tree in the prompt or in its own branch. Padding attends to itself,
        because a softmax over nothing is NaN.
        """
        length = self.tokens.shape[1]
        same_tree = self.tree[:, :, None] == self.tree[:, None, :]
        visible = (self.branch[:, None, :] == -1) | (self.branch[:, :, None] == self.branch[:, None, :])
        causal = np.tril(np.ones((length, length), dtype=np.bool_))
        real = (self.tree >= 0)[:, :, None]
        allowed = same_tree & visible & causal & real
        allowed |= np.eye(length, dtype=np.bool_)
        return allowed[:, None]


def plan(trees: Sequence[Tree], *, row: int = ROW, most: int | None = None, pad_token: int = 0) -> list[Layout]:
    """Lay out trees in rows, as long in each `Layout` as its fullest row needs.

    First-fit decreasing: the longest tree first, each into the first row with room. Deterministic.

    Args:
        trees: The trees; each prompt and each branch has at least one token.
        row: The most tokens that share a row; a longer tree has its own.
        most: The most rows in a layout; any number when None.
        pad_token: Id written into padding.

    Returns:
        Layouts whose `owner` numbers refer to all branches of all trees in their given order.
    """
    first_branch = np.concatenate([[0], np.cumsum([len(tree.branches) for tree in trees])]).astype(int)
    order = sorted(range(len(trees)), key=lambda index: (-trees[index].length, index))
    rows: dict[int, list[tuple[list[int], int]]] = {}
    for index in order:
        length = trees[index].length
        size = row if length <= row else -(-length // PAD_TO) * PAD_TO
        bins = rows.setdefault(size, [])
        for place, (members, used) in enumerate(bins):
            if used + length <= size:
                members.append(index)
                bins[place] = (members, used + length)
                break
        else:
            bins.append(([index], length))
    layouts = []
    for size, bins in sorted(rows.items()):
        for start in range(0, len(bins), most or len(bins)):
            part = bins[start : start + (most or len(bins))]
            longest = min(size, -(-max(used for _, used in part) // STEP) * STEP)
            layouts.append(_fill(trees, [members for members, _ in part], longest, first_branch, pad_token))
    return layouts


def spread(trees: Sequence[Tree], *, most: int = 16, pad_token: int = 0) -> list[Layout]:
    """Lay out one prompt with one continuation a row, for models that cannot tell trees in a row apart.

    Args:
        trees: The trees.
        most: The most rows in a layout.
        pad_token: Id written into padding, which is on the right.
    """
    alone = [Tree(tree.prompt, (branch,)) for tree in trees for branch in tree.branches]
    parts = [range(start, min(start + most, len(alone))) for start in range(0, len(alone), most)]
    return [
        _fill(alone, [[i] for i in part], max(alone[i].length for i in part), np.arange(len(alone) + 1), pad_token)
        for part in parts
    ]


def branches_alone(trees: Sequence[Tree], *, pad_token: int = 0) -> Layout:
    """Lay out the last token of each prompt and its branches, one tree a row, for models that have read the rest."""
    rests = [Tree(tree.prompt[-1:], tree.branches) for tree in trees]
    first_branch = np.concatenate([[0], np.cumsum([len(tree.branches) for tree in trees])]).astype(int)
    longest = max(tree.length for tree in rests)
    layout = _fill(rests, [[index] for index in range(len(rests))], longest, first_branch, pad_token)
    before = np.array([[len(tree.prompt) - 1] for tree in trees])
    return replace(layout, positions=layout.positions + before)


def even_row(trees: Sequence[Tree], most: int = LONGEST_ROW) -> int:
    """A row length for these trees with little padding.

    First fit opens a new row only when every other is fuller than `row - longest`. So n rows suffice where
    row >= total / n + longest; and one row where row >= total.
    """
    total, longest = sum(tree.length for tree in trees), max((tree.length for tree in trees), default=1)
    rows = max(1, -(-total // most))
    wanted = total if rows == 1 else total / rows + longest
    return max(1, int(-(-wanted // STEP))) * STEP


def _fill(
    trees: Sequence[Tree], rows: Sequence[Sequence[int]], length: int, first_branch: Ints, pad_token: int
) -> Layout:
    shape = (len(rows), length)
    tokens, positions = np.full(shape, pad_token, np.int64), np.zeros(shape, np.int64)
    tree_of, branch_of = np.full(shape, -1, np.int64), np.full(shape, -1, np.int64)
    source: list[tuple[int, int]] = []
    target: list[int] = []
    owner: list[int] = []
    for r, members in enumerate(rows):
        at = 0
        for index in members:
            tree = trees[index]
            size = len(tree.prompt)
            span = slice(at, at + size)
            tokens[r, span], positions[r, span], tree_of[r, span] = tree.prompt, np.arange(size), index
            last = at + size - 1
            at += size
            for number, branch in enumerate(tree.branches):
                span = slice(at, at + len(branch))
                tokens[r, span], tree_of[r, span], branch_of[r, span] = branch, index, number
                positions[r, span] = size + np.arange(len(branch))
                source.extend((r, last if step == 0 else at + step - 1) for step in range(len(branch)))
                target.extend(branch)
                owner.extend([int(first_branch[index]) + number] * len(branch))
                at += len(branch)
    return Layout(
        tokens,
        positions,
        tree_of,
        branch_of,
        np.array(source, np.int64).reshape(-1, 2),
        np.array(target, np.int64),
        np.array(owner, np.int64),
        int(first_branch[-1]),
    )
