"""Who decides the next block: ``seam`` says what a node asks of an engine; a folder is one."""
