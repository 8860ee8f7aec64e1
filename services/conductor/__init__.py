"""The conductor: the one owner of the database, of accepted work, and of what is claimed."""
