"""The machine a run uses: devices, memory, files, signals, random generators."""
