"""What all tests share; the fixtures for tokens, TPMs and servers come from device-sdk-simulators' pytest plugin."""
