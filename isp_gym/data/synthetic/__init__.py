"""Draw scenes of shapes with boxes and masks, for tests and for the embedded network."""
