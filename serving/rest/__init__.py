"""The calls of adfeast.proto over HTTP with JSON: another way to the same code, on a port of its own."""
