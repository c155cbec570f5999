# Everything is installed into .local/, which git ignores; a stamp in each folder says that it was finished.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Other characters mean something to a program that is given the path: blanks and : ; | to make, quotes, $ and brackets to
# the shell, : to class paths, % # ? to file URLs, * { [ to the globs of Hadoop, a comma to Spark's lists, = to readers of
# Hive partitions; and a JVM in the C locale finds no file behind other letters than English ones.
LETTERS := a b c d e f g h i j k l m n o p q r s t u v w x y z A B C D E F G H I J K L M N O P Q R S T U V W X Y Z
ALLOWED := / . _ - + @ ~ 0 1 2 3 4 5 6 7 8 9 $(LETTERS)
without = $(if $(2),$(call without,$(subst $(firstword $(2)),,$(1)),$(wordlist 2,99,$(2))),$(1))
BLANK := $(subst x,,x x)
TAB := $(subst x,,x	x)
FOREIGN := $(subst $(TAB),<tab>,$(subst $(BLANK),<blank>,$(call without,$(CURDIR),$(ALLOWED))))
ifneq ($(FOREIGN),)
$(error Adfeast cannot work in a path with $(FOREIGN) as in '$(CURDIR)'. \
	Move it into a folder whose path has only English letters, digits and / . _ - + @ ~)
endif

LOCAL := $(CURDIR)/.local
ENV := $(LOCAL)/env
BIN := $(ENV)/platform/bin
JARS := $(LOCAL)/jars
UV_VERSION := 0.13.9

unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME
export UV_CACHE_DIR := $(LOCAL)/cache/uv
export UV_PYTHON_INSTALL_DIR := $(LOCAL)/python
ifdef CI
export UV_NO_PROGRESS := 1
endif
export MAVEN_USER_HOME := $(LOCAL)/maven
# Nothing is written outside .local, not even what libraries put into the temporary folder.
$(shell mkdir -p .local/tmp)
export TMPDIR := $(LOCAL)/tmp
export JAVA_TOOL_OPTIONS := -Djava.io.tmpdir=$(TMPDIR) -XX:-UsePerfData
# Compiled modules are kept, wherever the user's environment says otherwise: `import feast` takes 8 s with them, 13 without.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(LOCAL)/pycache

# The machine's own uv and Maven where they work; expanded only by the rules that need them.
UV = $(shell uv --version >/dev/null 2>&1 && echo uv || echo $(LOCAL)/uv/bin/uv)
MAVEN = $(shell mvn --version >/dev/null 2>&1 && echo mvn || echo $(CURDIR)/infra/local/setup/mvnw) \
	--batch-mode --quiet --no-transfer-progress -Dmaven.repo.local=$(LOCAL)/m2
# Triton's Python backend loads libpython, which not every Python comes with; uv's own does.
PYTHON = $(shell python3.11 infra/local/setup/shared_python.py 2>/dev/null || echo "3.11 --managed-python")
# $(call sync,environment,extras)
sync = UV_PROJECT_ENVIRONMENT=$(ENV)/$(1) $(UV) sync --frozen --python $(PYTHON) $(addprefix --extra ,$(2))


.PHONY: help setup prerequisites demo drill-change drill-serving drill-streams test test-streams test-platform unit cluster-test infra-test fuzz bench bench-load bench-streams bench-learning bench-world up down proto lint types imports clean distclean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

demo: setup ## Install all it needs, then run the whole loop on real data (KEEP=1 leaves the platform up)
	@$(BIN)/adfeast demo $(if $(KEEP),--keep-up) $(ARGS)

# Much of each half is waiting for servers; so the two run beside each other, each with a platform of its own. The loop and
# the drills, which wait least, are not played at once. A failure is shown once more at the end, where whoever reads a long
# log looks first.
test: setup ## Install all it needs, then run every test (ARGS='-k name' for some)
	@$(if $(ARGS),$(BIN)/pytest --basetemp $(LOCAL)/pytest $(ARGS),$(BESIDE))
BESIDE = rm -rf $(LOG) && mkdir -p $(LOG) && $(MAKE) --no-print-directory -k -j2 test-streams test-platform \
	|| { echo "==> What failed" && grep -hE '^(E   |FAILED |ERROR )' $(LOG)/*.log; exit 1; }

LOG := $(LOCAL)/tests
STREAMS := tests/parity tests/integration/streams
# JVMs that live for minutes on two cores spend much of their time compiling what they will not run again.
BRIEF := -XX:TieredStopAtLevel=1 -XX:+UseSerialGC
# $(call half,name,arguments): its lines begin with its name
half = unset MAKEFLAGS MFLAGS MAKELEVEL; JAVA_TOOL_OPTIONS="$(JAVA_TOOL_OPTIONS) $(BRIEF)" $(BIN)/pytest \
	--basetemp $(LOCAL)/pytest-$(1) --durations 12 $(2) 2>&1 | tee -a $(LOG)/$(1).log | sed -u 's/^/$(1) | /'

test-streams:
	@echo "==> Tests of the stream jobs' Java function" && $(MAVEN) -f streaming/java/pom.xml test
	@failed=; $(call half,streams,$(STREAMS)) || failed=1; $(call half,streams,tests/e2e/test_drills.py) && [ -z "$$failed" ]

test-platform:
	@failed=; $(call half,platform,tests/e2e --ignore tests/e2e/test_drills.py) || failed=1; \
		$(call half,platform,tests/unit tests/contract tests/integration --ignore tests/integration/streams) && [ -z "$$failed" ]

# Half a minute, most of it the imports of Feast and torch: what trains, and what downloads, is left to `make test`.
unit: setup ## The tests of seconds: no platform, no training (ARGS='-k name' for some)
	@$(BIN)/pytest --basetemp $(LOCAL)/pytest -p no:nbmake -m "not slow" --ignore tests/unit/training tests/unit $(ARGS)

# No part of `make test`: each file of tests starts the cluster that it is about, and ends it.
cluster-test: setup $(ENV)/cluster/.stamp ## Run Spark, Kafka, Redis and PostgreSQL as clusters, with logins (ARGS='-k kafka')
	@$(BIN)/pytest --basetemp $(LOCAL)/pytest-cluster -p no:nbmake -v -s --durations 8 tests/cluster tests/integration/test_redis_cluster.py $(ARGS)

# Needs neither an account nor a terraform: AWS_PROVIDER=real takes the real provider, TERRAFORM=/path another terraform.
infra-test: $(addsuffix /.stamp,$(addprefix $(ENV)/,platform terraform checkov containers)) ## Check infra/terraform, images and k8s without an account
	@$(BIN)/pytest --basetemp $(LOCAL)/pytest-infra tests/infra $(ARGS)

# The images' own build steps in a clean folder, since no container engine is needed to run them; 25 GB of disk for all.
images-check: $(ENV)/platform/.stamp ## Run the build steps of the images (ARGS='server mlflow' for some)
	@UV_LINK_MODE=hardlink $(BIN)/python -m infra.containers_offline.build $(LOCAL)/images $(ARGS)

sbom: $(ENV)/platform/.stamp $(ENV)/containers/.stamp ## Write what each image is made of, in CycloneDX, into .local/sbom
	@$(BIN)/python -m infra.containers_offline.sbom $(LOCAL)/sbom

# Asks a vulnerability database on the internet, so no test runs it.
audit: $(ENV)/containers/.stamp ## Look for known vulnerabilities in what the lock holds (needs the internet)
	@$(ENV)/containers/bin/uv audit --frozen

drill-change: setup ## Change everything under traffic while programs are killed (some 15 minutes; ARGS=--short for 4)
	@$(BIN)/python -W ignore -m drills.change $(ARGS)

drill-serving: setup ## Let stores, Triton, Kafka and servers stand still and die under auctions (8 minutes; ARGS=--short for 2)
	@$(BIN)/python -W ignore -m drills.serving $(ARGS)

drill-streams: setup ## Let clocks, deaths, poison and changes happen to the streams under traffic (20 minutes; ARGS=--short for 6)
	@$(BIN)/python -W ignore -m drills.streams $(ARGS)

fuzz: setup ## Send the prediction server a hundred thousand generated calls of each kind (EXAMPLES=1000000)
	@FUZZ_EXAMPLES=$(or $(EXAMPLES),100000) $(BIN)/pytest --basetemp $(LOCAL)/pytest -p no:nbmake -q tests/unit/serving/test_fuzz.py

bench: setup ## Measure, each number beside its peer or its floor
	@$(BIN)/python -m benchmarks.predict $(ARGS)

bench-load: setup ## Draw latency and CPU against rate and candidates, into .local/report/load (ARGS='--rate 50 --candidates 200')
	@$(BIN)/python -m benchmarks.load $(ARGS)

bench-streams: setup ## Measure the stream side beside a DataStream job and tiles in SQL (ARGS='--events 1000000')
	@$(BIN)/python -W ignore -m benchmarks.streams $(ARGS)

bench-learning: setup ## Measure methods of learning from delayed clicks, and calibrations, on a world with a known truth
	@$(BIN)/python -m benchmarks.learning $(ARGS)

bench-world: setup ## Train the kinds of model on a world with a known truth, and judge them by it (ARGS='--impressions 2000000')
	@$(BIN)/python -m benchmarks.world $(ARGS)

up: setup ## Start the platform
	@$(BIN)/adfeast up

down: ## Stop the platform
	@if [ -x $(BIN)/adfeast ]; then $(BIN)/adfeast down; fi

proto: setup ## Generate the Python code of serving/proto/adfeast.proto again
	@$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. serving/proto/adfeast.proto
	@$(BIN)/ruff format --quiet serving/proto && $(BIN)/ruff check --quiet --fix serving/proto

lint: setup ## Style
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup ## Types
	@$(BIN)/mypy

imports: setup ## Who may import whom
	@$(BIN)/lint-imports

clean: down ## Stop the platform and delete its data
	@rm -rf $(addprefix $(LOCAL)/,data lake logs run state ports settings.yaml lock) $(LOCAL)/pytest*

distclean: clean ## Delete everything that was installed too
	@rm -rf $(LOCAL)

setup: prerequisites $(addsuffix /.stamp,$(ENV)/platform $(ENV)/flink $(ENV)/triton $(JARS) $(JARS)/function) ## Install

prerequisites:
	@command -v python3 >/dev/null || { echo "python3 is needed: sudo apt-get install -y python3 python3-venv" \
		"(Debian) or sudo dnf install -y python3 (Fedora)" >&2; exit 1; }
	@python3 -m infra.local.setup.prerequisites

$(LOCAL)/uv/bin/uv:
	@echo "==> uv $(UV_VERSION)"
	@python3 -m venv --clear $(LOCAL)/uv
	@$(LOCAL)/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# Order-only: which uv made an environment does not matter.
$(ENV)/platform/.stamp: pyproject.toml uv.lock | $(filter /%,$(UV))
	@echo "==> Python environment 'platform': serving, training, registry and the tools (2 to 5 minutes the first time)"
	@$(call sync,platform,platform dev)
	@touch $@

$(ENV)/flink/.stamp: pyproject.toml uv.lock | $(filter /%,$(UV))
	@echo "==> Python environment 'flink'"
	@$(call sync,flink,flink)
	@touch $@

$(ENV)/triton/.stamp: pyproject.toml uv.lock | $(filter /%,$(UV))
	@echo "==> Python environment 'triton'"
	@$(call sync,triton,triton)
	@touch $@

$(ENV)/cluster/.stamp: pyproject.toml uv.lock | $(filter /%,$(UV))
	@echo "==> Python environment 'cluster': PostgreSQL, for \`make cluster-test\` only"
	@$(call sync,cluster,cluster)
	@touch $@

$(ENV)/terraform/.stamp $(ENV)/checkov/.stamp: $(ENV)/%/.stamp: infra/terraform_offline/%.lock
$(ENV)/containers/.stamp: $(ENV)/%/.stamp: infra/containers_offline/%.lock
$(addprefix $(ENV)/,$(addsuffix /.stamp,terraform checkov containers)): $(ENV)/%/.stamp: | $(filter /%,$(UV))
	@echo "==> Python environment '$*': for \`make infra-test\` only"
	@$(UV) venv --quiet --clear --python $(PYTHON) $(ENV)/$*
	@$(UV) pip sync --quiet --python $(ENV)/$*/bin/python $<
	@touch $@

# What an older pom brought must not stay on a class path; what this one brings is checked against the lock.
$(JARS)/.stamp: infra/local/setup/pom.xml $(wildcard infra/local/setup/jars/*/pom.xml) infra/local/setup/jars.sha256
	@echo "==> Jars of Kafka, DynamoDB Local, Flink and S3"
	@$(MAVEN) -f infra/local/setup/pom.xml package
	@cd $(JARS) && sha256sum --quiet --check $(CURDIR)/infra/local/setup/jars.sha256
	@cd $(JARS) && find ./kafka ./dynamodb ./flink ./spark-s3 -type f \
		| { grep -vxFf <(cut -c67- $(CURDIR)/infra/local/setup/jars.sha256) || true; } | xargs -r rm
	@touch $@

$(JARS)/function/.stamp: $(shell find streaming/java/src/main -name '*.java') streaming/java/pom.xml
	@echo "==> The stream jobs' Java function"
	@$(MAVEN) -f streaming/java/pom.xml package -Dmaven.test.skip=true
	@touch $@
