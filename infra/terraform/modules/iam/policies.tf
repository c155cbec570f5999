# From the table of rights to the statements of each program. ARNs are made of names, so that a plan shows them whole.

locals {
  here    = "${var.account.region}:${var.account.id}"
  kafka   = "arn:aws:kafka:${local.here}"
  buckets = { for what in ["lake", "artifacts"] : what => "arn:aws:s3:::${var.name}-${what}-${var.account.id}" }
  tables  = [for table in var.tables : "arn:aws:dynamodb:${local.here}:table/${table}"]

  topic_arns = { for kind in ["events", "values", "late", "dead"] : kind => [
    for topic, t in var.topics : "${local.kafka}:topic/${var.cluster_name}/*/${topic}" if t.kind == kind
  ] }
  lake_arns = { for kind in distinct([for p in var.prefixes : p.kind]) : kind => [
    for prefix, p in var.prefixes : "${local.buckets.lake}/${prefix}*" if p.kind == kind
  ] }

  table_actions = {
    read     = ["dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:DescribeTable"]
    write    = ["dynamodb:BatchGetItem", "dynamodb:BatchWriteItem", "dynamodb:DescribeTable"]
    describe = ["dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive", "dynamodb:ListTagsOfResource"]
  }

  # Statement to actions and resources; what has no resource is left out.
  rights = { for program, p in local.programs : program => {
    ReadTopics  = { actions = ["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"], on = flatten([for k in p.reads : local.topic_arns[k]]) }
    WriteTopics = { actions = ["kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"], on = flatten([for k in p.writes : local.topic_arns[k]]) }
    WatchTopics = { actions = ["kafka-cluster:DescribeTopic"], on = flatten([for k in p.watches : local.topic_arns[k]]) }
    Groups = {
      actions = ["kafka-cluster:AlterGroup", "kafka-cluster:DescribeGroup"]
      on      = length(p.reads) + length(p.watches) == 0 ? [] : ["${local.kafka}:group/${var.cluster_name}/*/${var.project}*"]
    }
    Connect = {
      actions = ["kafka-cluster:Connect", "kafka-cluster:DescribeCluster", "kafka-cluster:WriteDataIdempotently"]
      on      = length(p.reads) + length(p.writes) == 0 ? [] : ["${local.kafka}:cluster/${var.cluster_name}/*"]
    }
    Tables = { actions = lookup(local.table_actions, p.tables, []), on = p.tables == "" ? [] : local.tables }
    ReadLake = {
      actions = ["s3:GetObject"]
      on      = flatten([for k in concat(p.lake_reads, p.lake_writes) : lookup(local.lake_arns, k, [])])
    }
    WriteLake = {
      actions = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
      on      = flatten([for k in p.lake_writes : lookup(local.lake_arns, k, [])])
    }
    ReadArtifacts = {
      actions = ["s3:GetObject"]
      on      = [for prefix in concat(p.artifact_reads, p.artifact_writes) : "${local.buckets.artifacts}/${prefix}*"]
    }
    WriteArtifacts = {
      actions = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
      on      = [for prefix in p.artifact_writes : "${local.buckets.artifacts}/${prefix}*"]
    }
    Redis = {
      actions = ["elasticache:Connect"]
      on = p.redis == "" ? [] : [
        "arn:aws:elasticache:${local.here}:replicationgroup:${var.name}",
        "arn:aws:elasticache:${local.here}:user:${var.name}-${p.redis}",
      ]
    }
    Secrets = {
      actions = ["secretsmanager:GetSecretValue"]
      on      = [for s in p.secrets : "arn:aws:secretsmanager:${local.here}:secret:${var.name}/${s}-??????"]
    }
  } }

  # Names of objects below the prefixes that a program may read, not those of its neighbours.
  listed = { for program, p in local.programs : program => {
    lake      = [for prefix, found in var.prefixes : "${prefix}*" if contains(concat(p.lake_reads, p.lake_writes), found.kind)]
    artifacts = [for prefix in concat(p.artifact_reads, p.artifact_writes) : "${prefix}*"]
  } }

  statements = { for program, rights in local.rights : program => concat(
    [for name, right in rights : {
      Sid = name, Effect = "Allow", Action = right.actions, Resource = right.on, Condition = {}
    } if length(right.on) > 0],
    [for what, prefixes in local.listed[program] : {
      Sid       = "List${title(what)}", Effect = "Allow", Action = ["s3:ListBucket"], Resource = [local.buckets[what]],
      Condition = { StringLike = { "s3:prefix" = prefixes } }
    } if length(prefixes) > 0],
  ) }
}
