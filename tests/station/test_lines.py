"""Which lines there are."""

from __future__ import annotations

import os
from pathlib import Path

from device_sdk.station.run.lines import present


def test_a_link_that_leads_nowhere_is_no_line(tmp_path: Path) -> None:
    controller, port = os.openpty()
    name = os.ttyname(port)
    for link, target in (("tty0", name), ("tty1", "nowhere"), ("tty2", name)):
        (tmp_path / link).symlink_to(target)
    assert present((), (f"{tmp_path}/tty*",)) == [f"{tmp_path}/tty0"]
    (tmp_path / "tty1").unlink()
    (tmp_path / "tty1").symlink_to(name)
    assert present((name,), (f"{tmp_path}/tty*",)) == [name]
    os.close(controller)
    os.close(port)
