"""Whether a file holds a private key, so that nothing else may take its place."""

from __future__ import annotations

import re
from pathlib import Path

_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,64}PRIVATE KEY-----")
_LOOKED_AT_BYTES = 1024 * 1024


def holds_private_key(path: Path, *, image: bool = False) -> bool:
    """PEM of any kind: what keystores write, what openssl and tpm2-tools write; a TPM's file is the only way to its key.

    Args:
        path: a file, or a free name; False for one that cannot be read: who writes there learns of it.
        image: firmware is there, in which programs may name what keys begin with; a file of text alone is a key's.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LOOKED_AT_BYTES)
            return _KEY.search(content) is not None and not (image and b"\0" in content)
    except OSError:
        return False
