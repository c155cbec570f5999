# One table a batch view, as Feast names and reads it. What the views are comes from the plan.

resource "aws_dynamodb_table" "view" {
  #checkov:skip=CKV2_AWS_16:On demand, or provisioned for the known peak: scaling is slower than an ad server's morning
  for_each       = var.tables
  name           = each.key
  billing_mode   = contains(keys(var.capacity), each.value.entity) ? "PROVISIONED" : "PAY_PER_REQUEST"
  read_capacity  = try(var.capacity[each.value.entity].read_units, null)
  write_capacity = try(var.capacity[each.value.entity].write_units, null)
  hash_key       = each.value.key

  # A view that is no longer defined keeps its table until a person says otherwise.
  deletion_protection_enabled = true

  attribute {
    name = each.value.key
    type = "S"
  }

  ttl {
    enabled        = true
    attribute_name = each.value.expiry
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = module.key.arn
  }

  tags = { view = each.value.view }
}
