"""Rows go into Milvus and come out of it."""
