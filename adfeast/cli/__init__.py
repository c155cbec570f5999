"""The command line: one small file a command group, only parsing and calling."""
