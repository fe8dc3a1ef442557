"""A server that has a database open lends it to other processes of this machine."""
