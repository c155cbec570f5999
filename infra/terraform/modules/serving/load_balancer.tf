# One address for gRPC: TLS ends at the load balancer, which hands connections to the proxies' pods (Kubernetes registers
# them with the target group).

locals {
  grpc = 50051
}

resource "aws_security_group" "load_balancer" {
  name        = "${var.name}-grpc"
  description = "Load balancer for gRPC: ad servers may connect, by TLS"
  vpc_id      = var.vpc_id
  tags        = { Name = "${var.name}-grpc" }
}

resource "aws_vpc_security_group_ingress_rule" "ad_servers" {
  for_each          = var.load_balancer.allowed
  description       = "ad servers"
  security_group_id = aws_security_group.load_balancer.id
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "pods" {
  description                  = "pods"
  security_group_id            = aws_security_group.load_balancer.id
  referenced_security_group_id = var.nodes_group_id
  ip_protocol                  = "tcp"
  from_port                    = local.grpc
  to_port                      = local.grpc
}

resource "aws_vpc_security_group_ingress_rule" "pods" {
  description                  = "gRPC of the load balancer"
  security_group_id            = var.nodes_group_id
  referenced_security_group_id = aws_security_group.load_balancer.id
  ip_protocol                  = "tcp"
  from_port                    = local.grpc
  to_port                      = local.grpc
}

resource "aws_lb" "grpc" {
  name                             = "${var.name}-grpc"
  load_balancer_type               = "network"
  internal                         = !var.load_balancer.public
  subnets                          = var.load_balancer.subnet_ids
  security_groups                  = [aws_security_group.load_balancer.id]
  enable_cross_zone_load_balancing = true
  enable_deletion_protection       = true

  # One line a connection, not a request.
  access_logs {
    enabled = true
    bucket  = var.load_balancer.log_bucket
    prefix  = "load_balancer"
  }
}

resource "aws_lb_target_group" "grpc" {
  name                 = "${var.name}-grpc"
  port                 = local.grpc
  protocol             = "TCP"
  target_type          = "ip"
  vpc_id               = var.vpc_id
  deregistration_delay = 30

  health_check {
    protocol            = "TCP"
    interval            = 10
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "grpc" {
  load_balancer_arn = aws_lb.grpc.arn
  port              = 443
  protocol          = "TLS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.load_balancer.certificate_arn
  alpn_policy       = "HTTP2Only"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.grpc.arn
  }
}
