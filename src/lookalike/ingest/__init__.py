"""Folders become rows."""
