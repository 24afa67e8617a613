"""A ledger that does not come in the middle of a run: that is said, nobody waits for ever, and the run goes on later."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import pytest

from device_sdk.errors import LedgerError
from device_sdk.station.run import station


@pytest.mark.slow
def test_two_stops_end_the_wait_for_a_ledger(lab, monkeypatch):
    """Its default is a minute; here somebody asks twice as soon as it is told."""
    monkeypatch.setattr(station, "_SLOW_S", 0.3)
    board = lab.board()
    lab.plug("tty0", board)
    lab.record_of("none")  # makes the ledger
    with closing(sqlite3.connect(lab.ledger_file, isolation_level=None, check_same_thread=False)) as other:

        class Observer(list):
            def append(self, event):
                super().append(event)
                if event.kind == "step-started" and event.step == "key":
                    other.execute("BEGIN IMMEDIATE")
                if event.kind == "note" and "waiting for the ledger" in event.words:
                    lab.running.stop()
                    lab.running.stop()

        lab.observer, begun = Observer(), time.monotonic()
        with pytest.raises(LedgerError, match="another process keeps the ledger"):
            lab.run()
        assert time.monotonic() - begun < 40
        other.execute("ROLLBACK")
    lab.observer = None
    assert lab.run().provisioned == 1
    assert lab.issued(board) == 1
