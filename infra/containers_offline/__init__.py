"""Reads and runs what images are made of, on a machine without a container engine and without a cluster.

The environment `containers` holds the validators (hadolint, kubectl, Envoy, the schemas of Kubernetes and CycloneDX);
it is locked in containers.lock and stands alone, so that the platform's environment does not grow.
"""
