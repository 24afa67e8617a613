"""URLs that hold a password where somebody might have typed one; `whole_text` is what must not repeat it."""

from __future__ import annotations

import traceback

BAD_URLS = [
    "http://lab:SECRETPW@localhost/",
    "ftp://lab:SECRETPW@h",
    "lab:SECRETPW@h",
    "https://lab:SECRETPW@localhost:99999/",
    "https://lab:SECRETPW@localhost:port/",
    "https://lab:SECRETPW@[::1/",
    "https:///lab:SECRETPW@x/",
    "https:////lab:SECRETPW@x/",
    "https:\\\\lab:SECRETPW@x/",
    "https://lab:SEC@SECRETPW@x/",
    "https://lab:SECRETPW/@x/",
    "https://lab:SECRETPW\uff0f@x/",
    "https://lab:SECRETPW@x\uff0f/",
    "https://SECRETPW@localhost",
    "https://lab:SECRETPW@localhost/other?x#y",
    "https://lab:SECRETPW @localhost/",
]


def whole_text(error: BaseException) -> str:
    """Everything a log would show of an error, its causes included; not the source lines, which hold the call."""
    shown = traceback.TracebackException.from_exception(error)
    texts = []
    while shown is not None:
        texts.append("".join(shown.format_exception_only()))
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
    return "".join(texts) + repr(error) + str(getattr(error, "hint", ""))
