#!/bin/sh
# Answers 0 when Redis takes commands with the password; it travels in no argument.
set -eu
REDISCLI_AUTH="$(cat /run/secrets/redis_password)"
export REDISCLI_AUTH
[ "$(redis-cli ping)" = PONG ]
