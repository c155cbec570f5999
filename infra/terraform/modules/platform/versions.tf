# The modules say which provider they need.

terraform {
  required_version = ">= 1.11"
}
