"""What the server answers, a module for each kind of thing that it is asked about."""
