"""What each kind of accepted work consists of. Every one may run twice and must end in the same place."""
