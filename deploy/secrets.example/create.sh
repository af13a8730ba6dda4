#!/bin/sh
# Makes the secrets that docker-compose.yml and the Kubernetes manifests name; never replaces one.
#   sh deploy/secrets.example/create.sh ./secrets
set -eu
folder=${1:?the folder to make, for example ./secrets}
umask 077
mkdir -p "$folder"
# Only the folder's owner gets in. Inside, files are readable, because Docker mounts each one by
# itself, with its mode and owner, into containers that run as other users.
chmod 0700 "$folder"
mkdir -p "$folder/tenants"
chmod 0755 "$folder/tenants"
make() {
    [ -e "$folder/$1" ] && return
    name=$1
    shift
    "$@" > "$folder/$name.new"
    chmod 0444 "$folder/$name.new"
    mv "$folder/$name.new" "$folder/$name"
    echo "made $folder/$name"
}
make redis_password openssl rand -hex 32
make message_key openssl rand -base64 32
make ledger_password openssl rand -hex 32
make token_key openssl rand -base64 32
# Opens nothing until the first change of the key, when the old key takes its place.
make token_key_previous openssl rand -base64 32
