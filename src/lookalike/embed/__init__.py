"""Pictures become vectors."""
