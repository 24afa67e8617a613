"""A foreign scanner of QR codes: libzbar, by ctypes."""

from __future__ import annotations

import ctypes
from pathlib import Path

from PIL import Image

_Y800 = int.from_bytes(b"Y800", "little")
_ENABLE, _ALL, _QR = 0, 0, 64


def scan(picture: Path) -> list[str]:
    """What the codes in a picture say, in the order of the alphabet."""
    with Image.open(picture) as opened:
        grey = opened.convert("L")
    library = ctypes.CDLL("libzbar.so.0")
    pointers = ("zbar_image_scanner_create", "zbar_image_create", "zbar_image_first_symbol", "zbar_symbol_next")
    for name in pointers:
        getattr(library, name).restype = ctypes.c_void_p
    library.zbar_symbol_get_data.restype = ctypes.c_char_p
    scanner, image = (ctypes.c_void_p(getattr(library, name)()) for name in pointers[:2])
    # no other kinds: one picture in a hundred has a bar code of two digits in its QR code, by chance
    library.zbar_image_scanner_set_config(scanner, _ALL, _ENABLE, 0)
    library.zbar_image_scanner_set_config(scanner, _QR, _ENABLE, 1)
    data = grey.tobytes()
    library.zbar_image_set_format(image, ctypes.c_ulong(_Y800))
    library.zbar_image_set_size(image, *grey.size)
    library.zbar_image_set_data(image, data, ctypes.c_ulong(len(data)), None)
    library.zbar_scan_image(scanner, image)
    found, symbol = [], library.zbar_image_first_symbol(image)
    while symbol:
        found.append(library.zbar_symbol_get_data(ctypes.c_void_p(symbol)).decode())
        symbol = library.zbar_symbol_next(ctypes.c_void_p(symbol))
    library.zbar_image_destroy(image)
    library.zbar_image_scanner_destroy(scanner)
    return sorted(found)
