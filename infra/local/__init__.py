"""The platform on one machine: processes, jars, ports, readiness."""
