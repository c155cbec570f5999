# Who may do what: one line a right, one role a program. The policies (policies.tf) are made from this table alone.
#
#   runs        who starts the program: pod (EKS), task (a scheduled container, Spark, or a pod), flink
#   reads       kinds of topics it reads;  writes: kinds it writes;  watches: kinds whose ends and readers it looks up
#   lake_reads  kinds of what lies in the lake;  lake_writes: kinds it writes, and may read back
#   tables      what it does with the DynamoDB tables: read, write (reads too), describe
#   redis       the user it signs in as;  secrets: those it may read;  artifacts_*: prefixes of the artifact bucket

locals {
  nothing = {
    reads          = [], writes = [], watches = [], lake_reads = [], lake_writes = [], tables = "", redis = "", secrets = [],
    artifact_reads = [], artifact_writes = []
  }

  programs = { for program, rights in {
    server = {
      runs = "pod", writes = ["events"], tables = "read", redis = "server", secrets = ["registry-url"]
    }
    writer = {
      runs = "pod", reads = ["values"], writes = ["dead"], redis = "writer", secrets = ["registry-url"]
    }
    # The reconciler, which says how far the archive is, and the heartbeat, whose time marks are events.
    control = {
      runs = "pod", writes = ["events"], watches = ["events", "values"], secrets = ["registry-url"], artifact_reads = ["flink/"]
    }
    triton = {
      runs = "pod", artifact_reads = ["models/"]
    }
    mlflow = {
      runs = "pod", secrets = ["mlflow-url"], artifact_writes = ["mlflow/"]
    }
    stream-features = {
      runs = "flink", reads = ["events"], writes = ["values", "late"], artifact_reads = ["flink/"]
    }
    stream-archive = {
      runs        = "flink", reads = ["events", "values"], writes = ["dead"], artifact_reads = ["flink/"],
      lake_writes = ["events", "values"]
    }
    batch = {
      runs   = "task", lake_reads = ["events", "delivered"], lake_writes = ["rows", "quarantine"],
      tables = "write", secrets = ["registry-url"]
    }
    training = {
      runs    = "task", lake_reads = ["events"], lake_writes = ["training_sets"],
      secrets = ["registry-url"], artifact_writes = ["mlflow/", "models/"]
    }
    # `feast apply`: the tables are there already, so it only looks whether they are.
    apply = {
      runs = "task", tables = "describe", secrets = ["registry-url"]
    }
  } : program => merge(local.nothing, rights) }

  trusted = {
    pod   = ["pods.eks.amazonaws.com"]
    task  = ["ecs-tasks.amazonaws.com", "emr-serverless.amazonaws.com", "pods.eks.amazonaws.com"]
    flink = ["kinesisanalytics.amazonaws.com"]
  }
}
