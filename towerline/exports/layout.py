"""Names of the files of an export, relative to its folder."""

from pathlib import Path

EXPORTS = Path("exports")
EXPORT_REPORT = Path("reports/export.json")
USERS = "user_embeddings"
ITEMS = "item_embeddings"
# TensorFlow Serving wants a numbered folder for each version of a model.
MODEL = "retrieval/1"
SEEN_STARTS = "seen_starts.npy"
SEEN_ITEMS = "seen_items.npy"
RATINGS = "rating_model.npz"
# Without declared features they hold no arrays.
USER_ENCODER = "user_encoder.npz"
ITEM_ENCODER = "item_encoder.npz"
INDEX = "item_index.faiss"
MANIFEST = "manifest.json"
