"""Recipe and rows -> how much the rows of each item type help the recommendations of each other type."""
