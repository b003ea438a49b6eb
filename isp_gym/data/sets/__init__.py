"""One data source a file, and the base classes that they share."""
