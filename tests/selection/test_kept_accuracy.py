import numpy as np

from solo_hub.selection.analysis import KeptAccuracy


def test_both_halves_by_hand():
    """Kept: right, wrong; dropped: right. Then a batch of one kept and right: 2 of 3 kept are right, 1 of 1 dropped."""
    counts = KeptAccuracy()
    counts.add(np.array([True, True, False]), np.array([0, 1, 2]), np.array([0, 2, 2]))
    counts.add(np.array([True]), np.array([1]), np.array([1]))
    assert counts.accuracy_kept == 2 / 3
    assert counts.accuracy_dropped == 1.0
    assert counts.kept_share == 0.75


def test_kept_accuracy_empty():
    counts = KeptAccuracy()
    counts.add(np.empty(0, bool), np.empty(0, int), np.empty(0, int))
    assert (counts.accuracy_kept, counts.accuracy_dropped, counts.kept_share) == (None, None, 0.0)
