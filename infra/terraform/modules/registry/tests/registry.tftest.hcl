# The database is reached by named programs over TLS, survives a mistake, and no password stands in a state.

mock_provider "aws" {}

variables {
  name        = "adfeast-test"
  account     = { id = "111122223333", region = "us-east-1" }
  vpc_id      = "vpc-1"
  subnet_ids  = ["subnet-1", "subnet-2"]
  clients     = { nodes = "sg-1", jobs = "sg-2" }
  log_key_arn = "arn:aws:kms:us-east-1:111122223333:key/1"
  database    = { instance_class = "db.m7g.large", storage_gb = 100, multi_az = true, backup_days = 14 }
}

run "the_database_is_closed" {
  command = plan

  assert {
    condition     = !aws_db_instance.this.publicly_accessible && aws_db_instance.this.storage_encrypted
    error_message = "the database has a public address, or lies in the clear"
  }
  assert {
    condition     = anytrue([for p in aws_db_parameter_group.this.parameter : p.name == "rds.force_ssl" && p.value == "1"])
    error_message = "the database may be asked without TLS"
  }
  assert {
    condition     = alltrue([for r in aws_vpc_security_group_ingress_rule.clients : r.cidr_ipv4 == null && r.cidr_ipv6 == null && r.from_port == 5432 && r.to_port == 5432])
    error_message = "a rule opens an address range, or more than PostgreSQL's port"
  }
}

run "nothing_is_lost_and_nothing_is_told" {
  command = plan

  assert {
    condition     = aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot && aws_db_instance.this.backup_retention_period == 14
    error_message = "the database may be deleted without a trace"
  }
  assert {
    condition     = aws_db_instance.this.manage_master_user_password && aws_db_instance.this.password == null
    error_message = "a password stands in the state"
  }
  assert {
    condition     = alltrue([for i in aws_ecr_repository.image : i.image_tag_mutability == "IMMUTABLE"])
    error_message = "a tag may be moved to another image"
  }
}
