"""Accuracy of kept and dropped labels: analysis only, where gold answers exist; selectors never see them."""

from __future__ import annotations

from dataclasses import dataclass

from solo_hub.selection.measures import Integers, Mask


@dataclass(slots=True)
class KeptAccuracy:
    """Counts over the steps of a training.

    Attributes:
        kept: Samples kept so far (a sample counts once per epoch).
        kept_right: Kept samples whose label was right.
        dropped: Samples dropped so far.
        dropped_right: Dropped samples whose label was right.
    """

    kept: int = 0
    kept_right: int = 0
    dropped: int = 0
    dropped_right: int = 0

    def add(self, keep: Mask, labels: Integers, gold: Integers) -> None:
        """Count a batch; all arguments `(B,)`."""
        right = labels == gold
        self.kept += int(keep.sum())
        self.kept_right += int((keep & right).sum())
        self.dropped += int((~keep).sum())
        self.dropped_right += int((~keep & right).sum())

    @property
    def kept_share(self) -> float:
        """Share of samples kept, 0..1; 0.0 without samples."""
        total = self.kept + self.dropped
        return self.kept / total if total else 0.0

    @property
    def accuracy_kept(self) -> float | None:
        """Share of kept labels that were right; None when nothing was kept."""
        return self.kept_right / self.kept if self.kept else None

    @property
    def accuracy_dropped(self) -> float | None:
        """Share of dropped labels that were right; None when nothing was dropped."""
        return self.dropped_right / self.dropped if self.dropped else None
