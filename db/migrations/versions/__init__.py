"""One file a step, numbered. A step is never changed once released."""
