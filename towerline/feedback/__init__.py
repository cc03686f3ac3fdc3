"""What a row says about taste: dislikes, and strengths of rows."""
