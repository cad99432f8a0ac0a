"""What is done with a finished build: explain, verify, releases, takedown, cleaning."""
