#!/bin/sh
# Starts SeaweedFS with S3 on port 8333 and one account, which may do everything; others may do nothing.
set -eu
umask 077
cat >/tmp/s3.json <<JSON
{"identities": [{"name": "bakeoff", "credentials": [{"accessKey": "$AWS_ACCESS_KEY_ID", "secretKey": "$AWS_SECRET_ACCESS_KEY"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
JSON
exec weed server -dir=/data -ip.bind=0.0.0.0 -s3 -s3.port=8333 -s3.config=/tmp/s3.json
