# Each program may do what it needs and cannot read what belongs to another.

mock_provider "aws" {}

variables {
  name         = "adfeast-test"
  project      = "adfeast"
  cluster_name = "adfeast-test"
  account      = { id = "111122223333", region = "us-east-1" }
  tables       = ["adfeast.user_profile"]
  topics = {
    clicks        = { kind = "events" }
    "values.a"    = { kind = "values" }
    "late.a"      = { kind = "late" }
    "clicks.dead" = { kind = "dead" }
  }
  prefixes = {
    "events/clicks/" = { kind = "events" }
    "values/a/"      = { kind = "values" }
    "rows/b/"        = { kind = "rows" }
    "tables/users/"  = { kind = "delivered" }
    "training_sets/" = { kind = "training_sets" }
    "quarantine/"    = { kind = "quarantine" }
  }
  key_arns = {
    online   = "arn:aws:kms:us-east-1:111122223333:key/online"
    lake     = "arn:aws:kms:us-east-1:111122223333:key/lake"
    registry = "arn:aws:kms:us-east-1:111122223333:key/registry"
  }
}

run "who_reads_what" {
  command = plan

  assert {
    condition = jsonencode({
      for program, p in aws_iam_role_policy.access : program => sort(distinct([
        for found in flatten([for s in jsondecode(p.policy).Statement : s.Resource if contains(s.Action, "s3:GetObject")]) :
        element(split(":::", found), 1)
      ]))
      }) == jsonencode({
      server          = []
      writer          = []
      control         = ["adfeast-test-artifacts-111122223333/flink/*"]
      triton          = ["adfeast-test-artifacts-111122223333/models/*"]
      mlflow          = ["adfeast-test-artifacts-111122223333/mlflow/*"]
      stream-features = ["adfeast-test-artifacts-111122223333/flink/*"]
      stream-archive  = ["adfeast-test-artifacts-111122223333/flink/*", "adfeast-test-lake-111122223333/events/clicks/*", "adfeast-test-lake-111122223333/values/a/*"]
      batch = [
        "adfeast-test-lake-111122223333/events/clicks/*", "adfeast-test-lake-111122223333/quarantine/*",
        "adfeast-test-lake-111122223333/rows/b/*", "adfeast-test-lake-111122223333/tables/users/*",
      ]
      training = [
        "adfeast-test-artifacts-111122223333/mlflow/*", "adfeast-test-artifacts-111122223333/models/*",
        "adfeast-test-lake-111122223333/events/clicks/*", "adfeast-test-lake-111122223333/training_sets/*",
      ]
      apply = []
    })
    error_message = "a program reads objects of another, or not its own"
  }
  assert {
    condition = jsonencode({
      for program, p in aws_iam_role_policy.access : program => sort([
        for found in flatten([for s in jsondecode(p.policy).Statement : s.Resource if contains(s.Action, "kafka-cluster:ReadData")]) :
        element(split("/", found), 3)
      ])
      }) == jsonencode({
      server         = [], writer = ["values.a"], control = [], triton = [], mlflow = [], stream-features = ["clicks"],
      stream-archive = ["clicks", "values.a"], batch = [], training = [], apply = []
    })
    error_message = "a program reads topics of another, or not its own"
  }
  assert {
    condition = toset(flatten([
      for program, p in aws_iam_role_policy.access : [
        for s in jsondecode(p.policy).Statement : program if contains(s.Action, "dynamodb:BatchGetItem")
      ]
    ])) == toset(["server", "batch"])
    error_message = "others than the server and the batch jobs read the tables"
  }
}

run "who_changes_what" {
  command = plan

  assert {
    condition = jsonencode({
      for program, p in aws_iam_role_policy.access : program => sort([
        for found in flatten([for s in jsondecode(p.policy).Statement : s.Resource if contains(s.Action, "kafka-cluster:WriteData")]) :
        element(split("/", found), 3)
      ])
      }) == jsonencode({
      server          = ["clicks"], writer = ["clicks.dead"], control = ["clicks"], triton = [], mlflow = [],
      stream-features = ["late.a", "values.a"], stream-archive = ["clicks.dead"], batch = [], training = [], apply = []
    })
    error_message = "a program writes to topics that are not its own"
  }
  assert {
    condition = toset(flatten([
      for program, p in aws_iam_role_policy.access : [
        for s in jsondecode(p.policy).Statement : program if anytrue([for a in s.Action : can(regex("^dynamodb:(Put|Update|Delete|BatchWrite)", a))])
      ]
    ])) == toset(["batch"])
    error_message = "others than the batch jobs change the tables"
  }
  assert {
    condition = alltrue(flatten([for p in aws_iam_role_policy.access : [
      for s in jsondecode(p.policy).Statement : [for a in s.Action : !can(regex("(^\\*|:\\*|Create|DeleteTable|DeleteTopic|PassRole)", a))]
    ]]))
    error_message = "a program may do everything, or make or drop tables and topics, which are Terraform's"
  }
}

run "no_right_without_a_place" {
  command = plan

  assert {
    condition = alltrue(flatten([for p in aws_iam_role_policy.access : [
      for s in jsondecode(p.policy).Statement : [for found in s.Resource : length(split(":", found)) >= 6 && !endswith(found, ":*")]
    ]]))
    error_message = "a right holds for everything of a kind"
  }
  assert {
    condition = alltrue([for r in aws_iam_role.program : alltrue([
      for s in jsondecode(r.assume_role_policy).Statement : s.Condition.StringEquals["aws:SourceAccount"] == "111122223333" && !contains(keys(s.Principal), "AWS")
    ])])
    error_message = "a role may be taken by a person, or on behalf of another account"
  }
  assert {
    condition = jsonencode({
      for program, p in aws_iam_role_policy.keys : program => sort([for arn in flatten([for s in jsondecode(p.policy).Statement : s.Resource]) : element(split("/", arn), 1)])
      }) == jsonencode({
      server          = ["online", "registry"], writer = ["registry"], control = ["lake", "registry"], triton = ["lake"], mlflow = ["lake", "registry"],
      stream-features = ["lake"], stream-archive = ["lake"], batch = ["lake", "online", "registry"], training = ["lake", "registry"], apply = ["registry"]
    })
    error_message = "a program opens data with a key that it does not need"
  }
}
