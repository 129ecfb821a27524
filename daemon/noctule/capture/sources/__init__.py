"""One file per kind of source. Each is imported only in the child process that runs it."""
