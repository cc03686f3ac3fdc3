"""Encodings of text files, guessed from their bytes."""

import codecs
import io
from collections.abc import Iterator
from pathlib import Path

from towerline.raw.files import RawFile

BLOCK_CHARACTERS = 1 << 20


def encoding_of(file: RawFile) -> tuple[str, tuple[str, ...]]:
    """The encoding of a text file, and doubts about it."""
    with file.open() as opened:
        start = opened.read(4096)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", ()
    if start.count(0) > len(start) // 4:
        return ("utf-16-le" if start[1::2].count(0) > start[::2].count(0) else "utf-16-be"), ()
    bad, good = _utf8_letters(file)
    if not bad:
        return "utf-8", ()
    if good > bad:
        return "utf-8", (f"encoding: {bad:,} places are not valid utf-8; rows with ids there are refused",)
    encoding = "cp1252" if _decodes(file, "cp1252") else "latin-1"
    return encoding, (f"encoding: not valid utf-8, so {encoding} (Western European) is a guess; look at the letters",)


def decoded(file: RawFile, encoding: str, folder: Path) -> Path:
    """The path of the file as uncompressed UTF-8; a copy, since DuckDB reads few encodings."""
    into = folder / "decoded.csv"
    with into.open("w", encoding="utf-8", newline="") as copy:
        for number, text in enumerate(_texts(file, encoding)):
            copy.write(text.removeprefix("\ufeff") if number == 0 else text)
    return into


def _utf8_letters(file: RawFile) -> tuple[int, int]:
    """Numbers of places that are not valid UTF-8, and of valid letters beyond ASCII."""
    bad = good = 0
    for text in _texts(file, "utf-8"):
        if not text.isascii():
            invalid = text.count("\ufffd")
            bad += invalid
            good += sum(not letter.isascii() for letter in text) - invalid
    return bad, good


def _decodes(file: RawFile, encoding: str) -> bool:
    return not any("\ufffd" in text for text in _texts(file, encoding))


def _texts(file: RawFile, encoding: str) -> Iterator[str]:
    """The text of a file in blocks, with line feeds at the ends of lines."""
    with file.open() as opened, io.TextIOWrapper(opened, encoding, errors="replace") as text:
        while block := text.read(BLOCK_CHARACTERS):
            yield block
