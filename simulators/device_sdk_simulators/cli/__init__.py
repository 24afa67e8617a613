"""Command line of the simulators."""
