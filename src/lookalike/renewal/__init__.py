"""An index is made again with another model, beside the one in use."""
