"""Questions become vectors."""
