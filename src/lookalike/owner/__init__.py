"""A server that has a database open lends it to other processes of this machine."""

NOTE = "serve.json"
"""In the folder of a database that a server has open; see `lookalike.owner.note`."""
