# Secrets without values: a person writes the addresses, with their passwords, once (README). No password is in a state.

resource "aws_secretsmanager_secret" "url" {
  #checkov:skip=CKV2_AWS_57:Holds an address that a person writes; RDS changes the password of the owner by itself
  for_each                = toset(["registry-url", "mlflow-url"])
  name                    = "${var.name}/${each.key}"
  description             = "Address of a database as SQLAlchemy takes it"
  kms_key_id              = module.key.arn
  recovery_window_in_days = 30
}
