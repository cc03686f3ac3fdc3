"""The format of an export: the names of its files, how they are written, and the manifest with their digests."""
