"""The HTTP API and the page: one warm model, and one owner of the database."""
