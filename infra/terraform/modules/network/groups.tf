# One security group a kind of program: the data stores say by it who may connect. Nobody connects to a program from
# outside the VPC; programs reach the VPC, and HTTPS outside.

locals {
  programs = {
    nodes  = "pods: prediction servers, Triton, the Redis writer"
    jobs   = "scheduled commands and Spark"
    stream = "Flink"
  }
}

# Whatever forgets to name a group gets this one, which lets nothing through.
resource "aws_default_security_group" "closed" {
  vpc_id  = aws_vpc.this.id
  ingress = []
  egress  = []
}

resource "aws_security_group" "program" {
  #checkov:skip=CKV2_AWS_5:Nodes, containers, workers and Flink are given it, in other modules
  for_each    = local.programs
  name        = "${var.name}-${each.key}"
  description = each.value
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-${each.key}" }
}

resource "aws_vpc_security_group_ingress_rule" "peers" {
  for_each                     = local.programs
  description                  = "programs of the same kind"
  security_group_id            = aws_security_group.program[each.key].id
  referenced_security_group_id = aws_security_group.program[each.key].id
  ip_protocol                  = "-1"
}

resource "aws_vpc_security_group_egress_rule" "inside" {
  for_each          = local.programs
  description       = "the VPC"
  security_group_id = aws_security_group.program[each.key].id
  cidr_ipv4         = var.cidr
  ip_protocol       = "-1"
}

resource "aws_vpc_security_group_egress_rule" "https" {
  for_each          = local.programs
  description       = "AWS"
  security_group_id = aws_security_group.program[each.key].id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}
