"""The format of an export: the names of its files, and the manifest with their digests."""
