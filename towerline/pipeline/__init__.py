"""What every stage uses: settings, file formats, errors, terminal and environment."""
