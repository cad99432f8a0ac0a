"""Units of work: fetching, measuring in order of cost, and reusing earlier results."""
