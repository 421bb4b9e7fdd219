"""Captions from the files that data sets keep them in: which picture, and what is said of it.

Known are tables with a column of files and one of captions (csv, tsv, parquet, jsonl), COCO's JSON of images and
annotations, and lists of lines `name.jpg#0<tab>caption` or `name.jpg,caption` as Flickr8k and Flickr30k have them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from autophage.data.files import opened
from autophage.data.frames import known_columns, read_frame, table_suffix
from autophage.data.picture_labels import FILES
from autophage.errors import DataError

CAPTIONS = ("caption", "captions", "text", "comment", "description", "sentence", "sentences", "title")
"""The columns that hold captions where none is named, the first of them that is there."""
PICTURES = (*FILES, "image_name", "img_path", "image_path")
ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".json", ".jsonl", ".txt", ".token")
USUAL = ("captions", "caption", "metadata", "results")
"""What files of captions are called, up to the first dot."""


class Said(NamedTuple):
    """One caption, and the file of the picture that it is about."""

    file: str
    caption: str


def one_line(text: Any) -> str:
    """A caption without line breaks or doubled spaces; of nothing, nothing."""
    return "" if text is None else " ".join(str(text).split())


def read_captions(path: Path, column: str | None = None) -> list[Said]:
    """All captions of a file, empty ones too. Raises `DataError` when it holds none or cannot be read."""
    name = path.name.lower()
    if name.endswith(".json"):
        found = _coco(path)
    elif name.endswith(".jsonl"):
        found = _lines_of_json(path, column)
    elif table_suffix(path) is not None:
        found = _table(path, column)
    elif name.endswith((".txt", ".token")):
        found = _lines(path)
    else:
        raise DataError(f"{path} is no file of captions that is known; one ends in {', '.join(ENDINGS)}")
    if not found:
        raise DataError(f"{path} holds no captions")
    return found


def beside(names: Iterable[str], stem: str) -> list[str]:
    """Those of the names that look like files of captions, of the likeliest kind only; `stem` is what the pictures' own
    archive is called."""
    known = [name for name in names if name.lower().endswith(ENDINGS)]
    base = {name: PurePosixPath(name).name.lower().split(".")[0] for name in known}
    usual = [n for n in known if base[n] in USUAL]
    like = [
        n for n in known if base[n].startswith("captions") or base[n].endswith(("-captions", "_captions"))
    ]
    for chosen in (
        [n for n in known if stem and base[n] in (f"{stem}-captions", f"{stem}_captions")],
        usual,
        [n for n in like if "train" in base[n]],
        like,
        [n for n in known if ".token" in n.lower()],
    ):
        if chosen:
            return chosen
    return []


def _text(path: Path) -> str:
    with opened(path) as stream:
        content = stream.read()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text; save it as UTF-8") from error


def _coco(path: Path) -> list[Said]:
    try:
        about = json.loads(_text(path))
        files = {image["id"]: str(image["file_name"]) for image in about["images"]}
        told = [(note["image_id"], note["caption"]) for note in about["annotations"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{path} is no JSON of captions as COCO has it: a list `images` with id and file_name and a list `annotations` "
            "with image_id and caption are expected"
        ) from error
    lost = next((number for number, _ in told if number not in files), None)
    if lost is not None:
        raise DataError(f"{path} has a caption for the image {lost!r}, which is not among its images")
    return [Said(files[number], one_line(caption)) for number, caption in told]


def _lines_of_json(path: Path, column: str | None) -> list[Said]:
    found: list[Said] = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            file = _first(row, PICTURES, None)
            told = _first(row, CAPTIONS, column)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"line {number} of {path} is no JSON object with a file ({', '.join(PICTURES[:3])}, ...) and a caption "
                f"({column or ', '.join(CAPTIONS[:3])}{'' if column else ', ...'})"
            ) from error
        found += [Said(str(file), one_line(each)) for each in (told if isinstance(told, list) else [told])]
    return found


def _first(row: Any, names: Sequence[str], named: str | None) -> Any:
    return row[named] if named is not None else row[next((n for n in names if n in row), names[0])]


def _table(path: Path, column: str | None) -> list[Said]:
    frame = read_frame(path, separator="|" if _is_barred(path) else None)
    if column is not None:
        known_columns([column], frame, "data.column")
    file = next((c for c in PICTURES if c in frame.columns), None)
    told = column or caption_column(frame.columns)
    if file is None or told is None or file == told:
        raise DataError(
            f"{path} needs a column of files ({', '.join(PICTURES[:3])}, ...) and one of captions ({', '.join(CAPTIONS[:3])}, "
            f"...); its columns are {', '.join(frame.columns)}"
        )
    pairs = zip(frame[file].to_list(), frame[told].to_list(), strict=True)
    return [Said(one_line(name), one_line(caption)) for name, caption in pairs]


def caption_column(columns: Iterable[str]) -> str | None:
    """The usual column of captions among these."""
    columns = set(columns)
    return next((c for c in CAPTIONS if c in columns), None)


def _is_barred(path: Path) -> bool:
    """Whether the columns of a csv file are parted by bars, as those of Flickr30k are."""
    if table_suffix(path) != ".csv":
        return False
    with opened(path) as stream:
        first = stream.readline(1 << 16)
    return b"|" in first and b"," not in first


def _lines(path: Path) -> list[Said]:
    found: list[Said] = []
    rows = [line for line in _text(path).splitlines() if line.strip()]
    for number, line in enumerate(rows):
        tab = "\t" in line
        cells = line.split("\t", 1) if tab else next(csv.reader([line], skipinitialspace=True))
        file, caption = cells[0], cells[1] if tab else line.partition(",")[2]
        if not tab and len(cells) == 2:
            caption = cells[1]  # without its quotation marks
        if number == 0 and file.strip().lower() in PICTURES:
            continue
        if not file.strip() or (not tab and "," not in line):
            raise DataError(
                f"line {number + 1} of {path} is {line[:60]!r}; a picture's name, then a tab or a comma, then its caption are "
                "expected"
            )
        name, mark, count = file.strip().rpartition("#")
        found.append(Said(name if mark and count.isdigit() else file.strip(), one_line(caption)))
    return found
