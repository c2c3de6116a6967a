"""What a file is by its first bytes, where it is nothing that rows can be read from."""

from __future__ import annotations

import re

DECOMPRESS = "Decompress it first: {0}"
CONVERT = "Convert it to JSON lines, CSV or parquet first."
NOT_DATA = "Name the file that holds the rows."
FETCH = "Fetch the file itself: git lfs pull"
DOWNLOAD = "Download the file itself: a page about it was saved, or a message instead of it."
EXPORT = "Export it as CSV (UTF-8, with commas) first."

# Beginning of the file, what it is, what to do.
MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "it is a git-lfs pointer, the data was not downloaded", FETCH),
    (b"BZh", "it is compressed with bzip2", DECOMPRESS.format("bunzip2 FILE")),
    (b"\xfd7zXZ\x00", "it is compressed with xz", DECOMPRESS.format("unxz FILE")),
    (b"\x04\x22\x4d\x18", "it is compressed with lz4", DECOMPRESS.format("unlz4 FILE")),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive", "Unpack it and name the data file in it."),
    (b"Rar!\x1a\x07", "it is a RAR archive", "Unpack it and name the data file in it."),
    (b"%PDF-", "it is a PDF document", NOT_DATA),
    (b"SQLite format 3\x00", "it is a SQLite database", "Export its table as CSV or JSON lines."),
    (b"\x89PNG\r\n", "it is a picture (PNG)", NOT_DATA),
    (b"\xff\xd8\xff", "it is a picture (JPEG)", NOT_DATA),
    (b"GIF8", "it is a picture (GIF)", NOT_DATA),
    (b"GGUF", "it is a model (GGUF), not data", NOT_DATA),
    (b"\x89HDF\r\n", "it is an HDF5 file", CONVERT),
    (b"\x93NUMPY", "it is a NumPy array", CONVERT),
    (b"Obj\x01", "it is an Avro file", CONVERT),
    (b"ORC", "it is an ORC file", CONVERT),
    (b"FEA1", "it is an old Feather file", CONVERT),
    (b"\x7fELF", "it is a program", NOT_DATA),
    (b"\xd0\xcf\x11\xe0\xa1\xb1", "it is an old Office document", EXPORT),
)
PICKLE = re.compile(rb"\x80[\x02-\x05]")
MARKUP = re.compile(r"\s*<(!doctype|html|head|body|script|\?xml|[a-z][a-z0-9]*[ >/])", re.I)
CONTROLS = re.compile(rb"\x00+|[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")
CONTROL_SHARE = 0.05
TAR_AT = 257


def foreign(head: bytes) -> tuple[str, str] | None:
    """What a file is that no rows can be read from, and what to do; None where it may be text.

    Args:
        head: The first bytes, decompressed: some thousands, or all of a shorter file.
    """
    for magic, what, step in MAGIC:
        if head.startswith(magic):
            return what, step
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(head)
    if head[TAR_AT : TAR_AT + 5] == b"ustar":
        return "it is a tar archive", "Unpack it and name the data file in it."
    if PICKLE.match(head):
        return "it is a Python pickle, which is never opened: it could run any program", CONVERT
    if len(head) > 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "it is a model's weights (safetensors), not data", NOT_DATA
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "it is a picture (WebP)", NOT_DATA
    if MARKUP.match(head[:512].decode("latin-1")):
        kind = "an XML document" if head.lstrip().startswith(b"<?xml") else "an HTML page"
        return f"it is {kind}, not data", DOWNLOAD
    # Text with zero bytes in it is still text: a crash leaves runs of them.
    if len(CONTROLS.findall(head)) > CONTROL_SHARE * len(head):
        return "it is a binary file of a kind that is not known here", CONVERT
    return None


def _zip(head: bytes) -> tuple[str, str]:
    if b"xl/" in head or b"[Content_Types].xml" in head:
        return "it is an Excel workbook, or another Office document", EXPORT
    if b"/data.pkl" in head or b"archive/" in head:
        return "it is a PyTorch file, which is never opened: it could run any program", CONVERT
    return "it is a zip archive", "Unpack it and name the data file in it."
