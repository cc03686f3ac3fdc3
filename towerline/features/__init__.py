"""Features of users and items: their declaration, their encoding as numbers, and the embeddings expected from them."""
