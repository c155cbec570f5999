"""Runs Terraform's own validate and test where neither a binary nor the AWS provider can be had, and no account is.

Its environment is locked in terraform.lock and stands alone: the package of the provider's protocol needs an older
protobuf than the platform does.
"""
