"""What the machine lends to a run: processes of its own, memory, disk, threads, and the lock on a folder."""
