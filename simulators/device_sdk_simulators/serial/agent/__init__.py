"""A simulated device with an agent, written from docs/serial-protocol.md alone: it and the SDK judge that document together."""
