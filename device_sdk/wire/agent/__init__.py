"""What goes over a serial line between a station and the agent on a device: frames and messages (docs/serial-protocol.md)."""
