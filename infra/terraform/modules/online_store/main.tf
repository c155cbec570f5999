# The two online tiers: batch views in DynamoDB (dynamodb.tf), stream views in Valkey (valkey.tf), under one key.

module "key" {
  source      = "../key"
  name        = "${var.name}-online"
  description = "Online features of ${var.name}"
  account     = var.account
}
