"""What stands between the network and the application, each for one kind of danger."""
