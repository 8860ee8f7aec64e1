#!/bin/sh
# Compares the contracts with those that others may hold already: origin/main, or
# where that is this very commit, the commit before.
#   protos/breaking.sh BUF
set -eu
buf=$1
against=HEAD~1
if git rev-parse -q --verify origin/main > /dev/null && [ "$(git rev-parse origin/main)" != "$(git rev-parse HEAD)" ]; then
    against=origin/main
fi
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
git archive "$against" protos buf.yaml | tar -x -C "$before"
mkdir -p "$before/.build"
cp -r .build/googleapis "$before/.build/googleapis"
"$buf" breaking --against "$before"
