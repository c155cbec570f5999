"""The command line: one small file a command group, only parsing and calling."""

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
