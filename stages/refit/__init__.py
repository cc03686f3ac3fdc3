"""All rows of the split and the recipe of train -> the model that export ships."""
