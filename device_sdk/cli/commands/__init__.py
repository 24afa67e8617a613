"""One file a command: arguments in, library calls, words out."""
