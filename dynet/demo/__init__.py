"""`dynet demo`: a page to try the network on, served from this machine and asking nothing of any other."""
