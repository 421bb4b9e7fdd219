"""Any set of pictures: a folder, a zip archive, parquet, arrays, idx files or strips of tiles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from autophage.data.arguments import whole_number
from autophage.data.class_captions import ClassCaptions
from autophage.data.files import locate
from autophage.data.found import Found, Labels
from autophage.data.mnist import holds_pictures
from autophage.data.picture_arrays import Arrays, Idx
from autophage.data.picture_files import Folder, OneFile, Tile, Zip, is_image, listed, members
from autophage.data.picture_parquet import Parquet, picture_column
from autophage.data.pictures import PictureSource
from autophage.errors import DataError, SpecError

EXPECTED = "image files, a .zip of them, .parquet with encoded pictures, .npz, .npy or idx3-ubyte files"


@dataclass(frozen=True, kw_only=True)
class ImagesSource(ClassCaptions, PictureSource):
    """Pictures of one size with values 0..255 (uint8), labelled by their folders or by a table beside them.

    `path` is a folder of image files, a zip archive of them, a parquet file (or a folder of its shards) with encoded
    pictures, an .npz or .npy array (n, h, w[, c]) of bytes, a pair of idx files, or strips: image files in which equal
    square tiles lie one below the other. Raises `DataError` when they cannot be used.
    """

    path: str
    """The folder or file, as it is or below the folder that AUTOPHAGE_DATA names."""
    label: str | None = None
    """The column of the table (or the array of an .npz file) that holds the labels, or `none`; `label`, `class` and other
    usual names unless given."""
    tile: Literal["auto", "none"] | int = "auto"
    """Cut every image file into squares of that side, row by row; `auto` does so with strips (at least eight times as
    high as wide), `none` never."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "path", str(self.path))
        if self.tile not in ("auto", "none"):
            if isinstance(self.tile, str):
                raise SpecError(
                    f"data.tile is {self.tile!r}; it must be auto, none or the side of a tile in pixels"
                )
            whole_number(self.tile, "data.tile", least=1)

    @property
    def choices(self) -> dict[str, Any]:
        return {**super().choices, "label": self.label, "tile": self.tile}

    def labelled(self, found: Found) -> Labels | None:
        return found.labels(self.label)

    def find(self) -> Found:
        return find(locate(self.path), tile=self.tile, label=self.label)


def find(place: Path, *, tile: Tile = "auto", label: str | None = None) -> Found:
    """The pictures at a place. Raises `DataError` when there are none that are known."""
    if place.is_dir():
        return _in_folder(place, tile, label)
    name = place.name.lower()
    if name.endswith(".zip"):
        names = members(place)
        if not names:
            raise DataError(f"{place} holds no image files")
        return Zip(place, names, tile, label)
    if name.endswith(".parquet"):
        return Parquet(place, [place])
    if name.endswith((".npz", ".npy")):
        return Arrays(place, label)
    if holds_pictures(place):
        return Idx(place)
    if is_image(name):
        return OneFile(place, [place.name], tile, label)
    raise DataError(f"it is not known how {place} holds pictures; expected are {EXPECTED}")


def _in_folder(place: Path, tile: Tile, label: str | None) -> Found:
    if any(map(holds_pictures, place.iterdir())):
        return Idx(place)
    if names := listed(place):
        return Folder(place, names, tile, label)
    files = sorted(p for p in place.rglob("*") if p.is_file() and not p.name.startswith("."))
    shards = [p for p in files if p.name.lower().endswith(".parquet")]
    if shards := [p for p in shards if p.name.startswith("train")] or shards:
        return Parquet(place, shards)
    packed = [p for p in files if p.name.lower().endswith((".zip", ".npz", ".npy"))]
    if len(packed) == 1:
        return find(packed[0], tile=tile, label=label)
    if packed:
        raise DataError(f"{place} holds {packed[0].name} and {packed[1].name}; set data.path to one of them")
    raise DataError(f"{place} holds no pictures; expected are {EXPECTED}")


def holds_images(place: Path) -> bool:
    """Whether a file or folder looks like pictures that `find` can read."""
    if place.is_dir():
        files = [p for p in place.rglob("*") if p.is_file()]
        return any(is_image(p.name) or p.suffix.lower() in (".zip", ".npz", ".npy") for p in files) or any(
            map(_encoded, files)
        )
    return is_image(place.name) or place.suffix.lower() in (".zip", ".npz", ".npy") or _encoded(place)


def _encoded(file: Path) -> bool:
    """Whether a file is a table with a column of encoded pictures."""
    if file.suffix.lower() != ".parquet":
        return False
    try:
        return picture_column(file) is not None
    except DataError:
        return False
