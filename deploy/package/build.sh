#!/bin/sh
# Builds deb and rpm for amd64, arm64 and armv7 into a directory.
#
#   build.sh DIR VERSION EPOCH NFPM [ARCHITECTURE]...
#
# VERSION is what `git describe --tags` says, EPOCH the time of the commit, NFPM the Go package of nfpm with its version.
# The same source gives the same packages, byte for byte, wherever it is built. Each package has the version of its
# tag, v1.2.3 as 1.2.3; n commits later it is 1.2.3+n.ghash, which is newer; without any tag it is 0+ghash.
set -eu
umask 022
export LC_ALL=C TZ=UTC CGO_ENABLED=0 GOFLAGS=-buildvcs=false

[ $# -ge 4 ] || { sed -n '2,8s/^# *//p' "$0" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd) version=$2 nfpm=$4
export SOURCE_DATE_EPOCH=$3
shift 4
[ $# -gt 0 ] || set -- amd64 arm64 armv7
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

PACKAGE_VERSION=$(printf '%s\n' "$version" | sed -E \
	-e 's/-dirty$/.dirty/; s/^v([0-9])/\1/' \
	-e '/^[0-9]+(\.[0-9]+)+/!{s/^/0+g/;b}' \
	-e 's/-([0-9]+)-g([0-9a-f]+)/+\1.g\2/' -e 's/-/~/g')
export PACKAGE_VERSION

# Man pages and completions.
go run -trimpath -tags docs -ldflags "-X main.version=$version" ./cmd/ftpgate docs "$stage"
gzip -9n "$stage"/man/*

# Documentation. The licences are those of what is in the binary: Go's library and modules.
doc=$stage/doc
mkdir -p "$doc/examples"
cp README.md ARCHITECTURE.md configs/ftpgate.yaml deploy/package/UPGRADING.md deploy/docs/troubleshooting.md "$doc"
cp deploy/package/copyright "$doc/copyright"
cp configs/examples/*.yaml deploy/dashboards/grafana.json deploy/dashboards/alerts.yaml "$doc/examples"
{
	echo "go $(go env GOVERSION) $(go env GOROOT)"
	GOOS=linux go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/ftpgate
} | sort -u | while read -r module at dir; do
	printf '==== %s %s\n\n' "$module" "$at"
	texts=$(find "$dir/" -maxdepth 1 -type f \( -iname 'licen[sc]e*' -o -iname 'notice*' -o -iname 'copying*' \) | sort)
	[ -n "$texts" ] || { echo "build.sh: $module has no licence in $dir" >&2; exit 1; }
	echo "$texts" | while read -r text; do cat "$text"; done
done >"$doc/licenses"
gzip -9n "$doc/licenses"

mkdir -p "$stage/scripts"
cp -R deploy/package/deb deploy/package/rpm "$stage/scripts"
cp deploy/package/ftpgate.service deploy/package/*.yaml deploy/package/*.conf "$stage"

for architecture; do
	case $architecture in
	armv7) export GOARCH=arm GOARM=7 ARCH=arm7 ;;
	*) export GOARCH=$architecture ARCH=$architecture ;;
	esac
	GOOS=linux go build -trimpath -ldflags "-s -w -X main.version=$version" -o "$stage/ftpgate" ./cmd/ftpgate
	# What nfpm packs has the mode and the time of the file.
	find "$stage" -type d -exec chmod 755 {} +
	find "$stage" -type f -exec chmod u=rwX,go=rX {} +
	find "$stage" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	for format in deb rpm; do
		(cd "$stage" && env -u GOARCH -u GOARM go run "$nfpm" package --config nfpm.yaml --packager $format --target "$out/")
	done
done
