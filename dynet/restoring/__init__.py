"""From a file of a user's to its restored file: pictures with all that belongs to them, tiles, reports."""
