"""A path or an address -> the bytes that lie there."""
