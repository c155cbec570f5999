# Programs have private addresses only, and nobody connects to them from outside.

mock_provider "aws" {}

variables {
  name        = "adfeast-test"
  account     = { id = "111122223333", region = "us-east-1" }
  zones       = ["us-east-1a", "us-east-1b", "us-east-1c"]
  log_key_arn = "arn:aws:kms:us-east-1:111122223333:key/1"
}

run "nobody_connects_from_outside" {
  command = plan

  assert {
    condition = alltrue([
      for r in aws_vpc_security_group_ingress_rule.peers : r.cidr_ipv4 == null && r.cidr_ipv6 == null && r.prefix_list_id == null
    ])
    error_message = "a program takes connections from addresses"
  }
  assert {
    condition     = alltrue([for s in aws_subnet.public : !s.map_public_ip_on_launch]) && alltrue([for s in aws_subnet.private : s.map_public_ip_on_launch == null])
    error_message = "a subnet gives public addresses to whatever starts in it"
  }
  assert {
    condition     = length(aws_default_security_group.closed.ingress) == 0 && length(aws_default_security_group.closed.egress) == 0
    error_message = "the default security group lets something through"
  }
  assert {
    condition = alltrue([
      for r in aws_vpc_security_group_egress_rule.https : r.from_port == 443 && r.to_port == 443 && r.ip_protocol == "tcp"
    ])
    error_message = "programs may send anything anywhere"
  }
}

run "zones_stand_alone" {
  command = plan

  assert {
    condition     = length(aws_nat_gateway.this) == 3 && length(aws_subnet.private) == 3
    error_message = "a lost zone takes the others' way out with it"
  }
  assert {
    condition     = length(setintersection(toset([for s in aws_subnet.private : s.cidr_block]), toset([for s in aws_subnet.public : s.cidr_block]))) == 0
    error_message = "subnets overlap"
  }
  assert {
    condition     = toset(keys(aws_vpc_endpoint.gateway)) == toset(["s3", "dynamodb"])
    error_message = "S3 or DynamoDB are reached through the NAT gateways, which charge for each byte"
  }
}

run "one_zone_is_refused" {
  command = plan
  variables {
    zones = ["us-east-1a"]
  }
  expect_failures = [var.zones]
}
