"""What is done to a data set once it is built: releases, take-down, cleaning."""
