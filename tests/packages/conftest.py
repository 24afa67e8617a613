"""The scripted server and the CA of tests/est."""

from tests.est.conftest import ca, clock, serve

__all__ = ["ca", "clock", "serve"]
