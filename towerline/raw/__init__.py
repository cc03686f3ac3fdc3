"""Raw data as users bring it: kinds of files, usual column names, and notations of values."""
