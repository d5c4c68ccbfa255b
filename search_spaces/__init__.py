"""One file for each published table or question; each has `def study() -> Study`."""
