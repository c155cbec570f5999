"""One module a part: its command, its configuration and the request that proves it ready."""
