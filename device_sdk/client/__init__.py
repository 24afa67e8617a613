"""Drivers: they carry what the protocols decide over a transport, with a key, into the state directory."""
