"""Read boxes, classes and masks in the formats of data sets, and fit them to square images."""
