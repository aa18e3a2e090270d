# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Every target prepares what it needs first, and costs next to nothing when that is already there.
#   make deploy ARGS='--check --diff'     passes options on to ansible-playbook
#   make deploy ENV=paper                 uses inventories/paper; only dev brings the lab up
#   make molecule ARGS=rollback           runs one scenario

ENV  ?= dev
HOST ?= dev1
ARGS ?=

ifeq ($(wildcard inventories/$(ENV)/),)
$(error ENV=$(ENV): there is no inventories/$(ENV); there are: $(notdir $(wildcard inventories/*)))
endif

# The environment is rebuilt when the lock changes or the checkout moves.
READY := .venv/ready-$(shell (pwd; cat requirements/controller.txt) | sha256sum | cut -c1-12)

export PATH := $(CURDIR)/.venv/bin:$(PATH)
.DEFAULT_GOAL := help
.PHONY: help setup lab deploy rollback status ssh test lint format unit sanity molecule contract bench soak docs protobuf build lock clean distclean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Install the locked tools into .venv

$(READY):
	@tests/tools/setup.sh $@

lab: setup ## Start the lab: an engine, its images and the host dev1
	@python -m tests.lab up $(HOST)

deploy: $(if $(filter dev,$(ENV)),lab,setup) ## Deploy the stack and prove that it is healthy
	@ansible-playbook playbooks/deploy.yml -i inventories/$(ENV) $(ARGS)

rollback: setup ## Return to the release before
	@ansible-playbook playbooks/rollback.yml -i inventories/$(ENV) $(ARGS)

status: setup ## Show what runs, and how it is
	@ansible-playbook playbooks/status.yml -i inventories/$(ENV) $(ARGS)

ssh: setup ## Open a shell on the lab host
	@python -m tests.lab ssh $(HOST)

test: setup ## Run every check: lint, sanity, unit, molecule
	@python -m tests.tools.check lint sanity unit molecule

lint: setup ## Check style, types, YAML and Ansible content
	@python -m tests.tools.check lint

format: setup ## Let ruff format and mend what it can
	@ruff format --quiet && ruff check --quiet --fix

sanity: setup ## Run ansible-test's sanity tests
	@python -m tests.tools.check sanity

unit: setup ## Run the Python tests (ARGS='-k lease' selects)
	@python -m tests.tools.check unit $(ARGS)

molecule: setup ## Run the scenarios on lab hosts (ARGS=default selects)
	@python -m tests.tools.check molecule $(ARGS)

contract: setup ## Test whether an image keeps the engine contract (IMAGE=...)
	@python -m tests.contract $(IMAGE) $(ARGS)

bench: setup ## Measure deploys, cutovers, rollback, footprint and the engine
	@python -m tests.bench.bench $(ARGS)
	@python -m tests.bench.hosts
	@python -m tests.bench.host_cutover
	@python -m tests.bench.engine

HOURS ?= 1
soak: setup ## Let an engine trade for HOURS=1 on 100 times a normal stream
	@nice -n 5 python -m tests.bench.soak --hours $(HOURS) $(ARGS)

docs: setup ## Write the roles' README files from their argument specs
	@python -m tests.tools.role_readme

protobuf: setup ## Write the simulator's protobuf code from ib.proto
	@python -m tests.tools.protobuf

build: setup ## Build the collection's artefact into .cache/dist
	@ansible-galaxy collection build --force --output-path .cache/dist

lock: setup ## Pin the newest versions that requirements/controller.in allows
	@tests/tools/lock.sh

# What to do in place of the lab's own verb where .venv is gone: fail while there are hosts that only it could remove.
NO_HOSTS = [ -z "$$(docker ps -aq --filter 'label=ballast.lab.path=$(CURDIR)' 2>/dev/null)" ] || \
	{ echo "lab hosts of this checkout are left and .venv is gone: run 'make setup' first" >&2; exit 1; }

clean: ## Remove lab hosts and caches; keep images and .venv
	@if [ -x .venv/bin/python ]; then python -m tests.lab clean; else $(NO_HOSTS); fi
	@rm -rf .ansible .cache .hypothesis

distclean: ## Remove everything that make has made here, and what no other checkout uses
	@if [ -x .venv/bin/python ]; then python -m tests.lab distclean || python -m tests.lab clean; else $(NO_HOSTS); fi
	@rm -rf .ansible .cache .hypothesis .lab .venv
