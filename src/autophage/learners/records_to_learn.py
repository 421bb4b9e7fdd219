"""Training records as the objective of a denoising network asks for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from autophage.learners.record_spaces import RecordSpace, Table, on_device
from autophage.networks.words import Words
from autophage.training.devices import world


class RecordsToLearn:
    """Training records as an objective asks for them: by row, mirrored and with hidden classes as the learner says."""

    def __init__(
        self,
        x: Any,
        space: RecordSpace,
        label: np.ndarray | None,
        classes: int | Words | None,
        weight: np.ndarray | None,
        condition_dropout: float,
        flip: bool,
        device: str,
    ) -> None:
        self._made_of = (x, space, label, classes, weight, condition_dropout, flip, device)
        device = world().here(device)
        self.table, self.space, self.classes = Table(x, device), space, classes
        self.label, self.weight = (
            None if values is None else torch.from_numpy(np.array(values)).to(device)
            for values in (label, weight)
        )
        self.condition_dropout, self.flip = condition_dropout, flip
        self.shares = None
        if label is not None and not isinstance(classes, Words):
            self.shares = np.bincount(label, minlength=classes or 0).astype(float)

    def __reduce__(self) -> Any:
        return RecordsToLearn, self._made_of  # in another process on that one's device

    def __len__(self) -> int:
        return len(self.table)

    def rows(
        self, index: np.ndarray, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Network inputs, labels (the null class where hidden; captions likewise) and weights of these rows."""
        x = self.space.enter(self.table.rows(index))
        n, device = len(x), x.device
        if self.flip:
            mirrored = torch.rand(n, generator=generator, device=device) < 0.5
            x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
        at = on_device(index, device)
        label = None
        if self.label is not None:
            hidden = torch.rand(n, generator=generator, device=device) < self.condition_dropout
            null = self.classes.null if isinstance(self.classes, Words) else self.classes
            label = self.label[at]
            label = label.masked_fill(hidden.view(-1, *(1,) * (label.ndim - 1)), null)  # type: ignore[arg-type]
        return x, label, None if self.weight is None else self.weight[at]
