"""What is said on a console: the text in what comes, prompts, echo, transfers, boot loaders. No I/O, no clock."""
