"""The rows of tables, dealt out to host groups and cut into chunks by the workers."""
