"""Generation 0 of a comparison, on disk: every arm begins with it, in whichever process it runs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from autophage.runs.folder import write


class FirstModels(MutableMapping[tuple[str, int], Any]):
    """Models by what they come from (`Loop.first_models`), in a folder. A model that cannot be stored stays in this process."""

    def __init__(self, folder: str | Path, learner: Any) -> None:
        self.folder, self.learner = Path(folder), learner
        self._held: dict[tuple[str, int], Any] = {}

    def _path(self, key: tuple[str, int]) -> Path:
        name = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        return self.folder / f"{name}.safetensors"

    def __getitem__(self, key: tuple[str, int]) -> Any:
        if key not in self._held:
            from safetensors.numpy import load

            path = self._path(key)
            if not path.is_file():
                raise KeyError(key)
            self._held[key] = self.learner.restore(load(path.read_bytes()))
        return self._held[key]

    def __contains__(self, key: object) -> bool:
        return key in self._held or self._path(key).is_file()  # type: ignore[arg-type]

    def __setitem__(self, key: tuple[str, int], model: Any) -> None:
        import numpy as np
        from safetensors.numpy import save

        self._held[key] = model
        try:
            content = save({k: np.asarray(v, order="C") for k, v in model.arrays().items()})
        except (NotImplementedError, KeyError):
            return
        os.makedirs(self.folder, exist_ok=True)
        write(self._path(key), content)

    def __delitem__(self, key: tuple[str, int]) -> None:
        self._held.pop(key, None)
        self._path(key).unlink(missing_ok=True)

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)
