"""What is wrong with an installation or a database, and how to mend it."""
