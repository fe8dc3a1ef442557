"""What files are by their content, and what their pixels mean."""
