"""Which kind of data lies at a path."""

from __future__ import annotations

from pathlib import Path

from autophage.data.cifar10_batches import find_batches
from autophage.data.files import locate
from autophage.data.frames import table_suffix
from autophage.data.images import holds_images
from autophage.data.mnist import holds_pictures
from autophage.errors import DataError


def kind_for_path(path: str | Path) -> str:
    """The kind of source (a spec's `data.kind`) that reads the file or folder at `path`.

    Raises `DataError` when there is nothing, or nothing that is known.
    """
    place = locate(str(path))
    if place.is_dir():
        if any(map(holds_pictures, place.iterdir())):
            return "mnist"
        if find_batches(place):
            return "cifar10"
        if holds_images(place):
            return "images"
        raise DataError(
            f"{place} is a folder without idx pictures, image files or archives of them; give such a folder, or a table's file"
        )
    if holds_images(place):
        return "images"
    if table_suffix(place):
        return "table"
    if holds_pictures(place):
        return "mnist"
    raise DataError(
        f"it is not known what {place} holds: data are .csv, .tsv or idx3-ubyte files (also .gz), "
        ".parquet, or pictures (image files, .zip, .npz, .npy), and a spec ends in .yaml, .yml or .json"
    )
