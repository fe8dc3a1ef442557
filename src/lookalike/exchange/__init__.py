"""An index goes into files that other programs read, and comes back from them."""
