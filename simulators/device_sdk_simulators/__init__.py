"""Stand-ins for hardware and servers; written without the SDK so that a shared misreading cannot pass both."""

__version__ = "0.1.0"
