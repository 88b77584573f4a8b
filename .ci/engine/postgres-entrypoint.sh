#!/bin/sh
# Creates the database cluster on the first start, then runs the command as the user `postgres`.
# Reads POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB and PGDATA, as the official image does.
set -eu
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}

as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }

mkdir -p "$PGDATA" /run/postgresql
chown -R postgres "$PGDATA" /run/postgresql
chmod 700 "$PGDATA"
if [ ! -e "$PGDATA/PG_VERSION" ]; then
  secret=$(mktemp)
  printf '%s' "${POSTGRES_PASSWORD:?must be set}" >"$secret"
  chown postgres "$secret"
  as_postgres initdb --username "$user" --pwfile "$secret" --auth-local trust --auth-host scram-sha-256 >/dev/null
  rm "$secret"
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  # No TCP until the database is there: the health check asks over TCP.
  as_postgres pg_ctl start --wait --silent --options "-c listen_addresses=''"
  if [ "$database" != postgres ]; then
    as_postgres createdb --username "$user" --maintenance-db postgres "$database"
  fi
  as_postgres pg_ctl stop --wait --silent --mode fast
fi
exec setpriv --reuid=postgres --regid=postgres --init-groups "$@"
