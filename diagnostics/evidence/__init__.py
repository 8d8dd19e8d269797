"""Files that failures left, and who may have them."""
