"""What a prompt pack says: its text, its JSON, its matrix. Pure, but for the reader in `sources`."""
