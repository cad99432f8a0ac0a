"""`dynet demo`: a web page to try the network on, which loads nothing from other machines."""
