"""What a collection tells about itself."""
