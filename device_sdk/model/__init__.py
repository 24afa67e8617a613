"""Frozen dataclasses and enums that several layers share; no I/O."""
