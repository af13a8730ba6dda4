#!/bin/sh
# Starts Redis with the password from a secret file. It is written into a file on tmpfs and never
# into an argument, where every process list would show it.
set -eu
umask 077
{
    # Messages and tokens must not be evicted in favour of newer ones: refuse writes instead.
    echo 'maxmemory-policy noeviction'
    echo "maxmemory ${REDIS_MAXMEMORY:-256mb}"
    echo 'appendonly yes'
    echo 'appendfsync everysec'
    echo 'save ""'
    echo 'dir /data'
    printf 'requirepass "%s"\n' "$(cat /run/secrets/redis_password)"
} > /run/redis/redis.conf
exec redis-server /run/redis/redis.conf
