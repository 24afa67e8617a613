"""The run of a station: lines are watched, devices come and go, each is taken through the steps of its profile."""

from __future__ import annotations
