"""The addresses that guards treat in their own way."""

from __future__ import annotations

API = "/api/v1"
STATIC = "/static/"
LOGIN, LOGIN_STYLE = "/login", "/static/login.css"
OWNER = f"{API}/owner/"
"""For commands of the database's owner, who show a secret of their own to its routes."""
HEALTH = ("/healthz", f"{API}/healthz")
"""Whether the process lives: asked by what watches over it, without a token."""
