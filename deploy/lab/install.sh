#!/bin/sh
# Installs what the virtual router needs, on Debian 12 or a later one, as root.
#
#   install.sh demo   what `make demo` needs
#   install.sh test   what `make test` needs: FTP clients, a browser, four FTP servers, logwatch as a reader of xferlog,
#                     mandoc as one of man pages, promtool. The servers exclude each other as packages, so they are
#                     unpacked beside each other, below $FTPGATE_LAB_CACHE (default /var/cache/ftpgate-lab), and none
#                     of them is installed, configured or started; likewise what would bring a mail server (logwatch),
#                     start one of its own (prometheus) or has commands of the same names (mandoc).
#   install.sh bench  what `make bench` needs: ProFTPD with its proxy module, unpacked likewise
#   install.sh deploy what `make test-deploy` needs: that of test, and a Debian with systemd to boot in a container,
#                     some 300 MB, from where this machine has its own packages
#
# It prints nothing when all is there, and may be run again at any time.
set -eu

cache=${FTPGATE_LAB_CACHE:-/var/cache/ftpgate-lab}

demo='iproute2 iptables nftables curl procps conntrack'
# gcc and libc6-dev are for Go's race detector, python3-openssl is for TLS in pyftpdlib, and without fonts a browser
# writes boxes.
test="$demo lftp tnftp ncftp python3 python3-openssl openssl gcc libc6-dev chromium fonts-inter fonts-dejavu-core tshark systemd rpm"
deploy="$test debootstrap systemd-container qemu-user-static"
# In the container: what the package depends on, what its tests look at it with, and who else writes rules on a router.
inside='systemd systemd-sysv libpam-systemd dbus iproute2 iptables nftables procps kmod logrotate fail2ban python3-systemd rpm ufw firewalld'

export DEBIAN_FRONTEND=noninteractive LC_ALL=C

fail() {
	echo "install.sh: $*" >&2
	exit 1
}

# quietly runs a command and shows its output only if it fails.
quietly() {
	if ! output=$("$@" 2>&1 </dev/null); then
		echo "$output" >&2
		fail "failed: $*"
	fi
}

# missing prints those of its arguments that are not installed packages.
missing() {
	for package; do
		case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
		*' installed') ;;
		*) printf '%s ' "$package" ;;
		esac
	done
}

# update reads the package lists, once per run and only if something has to be fetched.
update() {
	if [ -z "${updated:-}" ]; then
		quietly apt-get -o DPkg::Lock::Timeout=120 update
		updated=yes
	fi
}

install_packages() {
	wanted=$(missing "$@")
	if [ -z "$wanted" ]; then
		return
	fi
	update
	# Word splitting is meant: it is a list of names.
	# shellcheck disable=SC2086
	quietly apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends $wanted
}

# libraries prints the packages of shared libraries that a downloaded package depends on (those for browsers are none).
libraries() {
	dpkg-deb -f "$1" Depends | tr ',' '\n' | sed 's/[ ]*\([^ |(:]*\).*/\1/' | grep -E '^(lib|zlib)' | grep -v '^libjs-' || true
}

# unpack fetches a package and unpacks it below the cache, with the libraries it needs installed.
unpack() {
	if [ -e "$cache/$1/.complete" ]; then
		return
	fi
	update
	work=$(mktemp -d "$cache/.$1.XXXXXX")
	quietly sh -c 'cd "$1" && apt-get -o APT::Sandbox::User=root download "$2"' sh "$work" "$1"
	# shellcheck disable=SC2046
	install_packages $(libraries "$work"/*.deb)
	mkdir "$work/root"
	quietly dpkg -x "$work"/*.deb "$work/root"
	for program in "$work"/root/usr/sbin/*; do
		if [ -x "$program" ] && ldd "$program" 2>/dev/null | grep -q 'not found'; then
			fail "$1 lacks libraries: $(ldd "$program" | grep 'not found')"
		fi
	done
	# The servers read their configuration as root and their modules as somebody else.
	chmod 755 "$work/root"
	touch "$work/root/.complete"
	rm -rf "${cache:?}/$1"
	mv "$work/root" "$cache/$1"
	rm -rf "$work"
}

# bootstrap makes the Debian of the container, anew if other packages are to be in it. Other firewalls than a test's own do
# not start in it.
bootstrap() {
	if [ "$(cat "$cache/debian/.complete" 2>/dev/null)" = "$inside" ]; then
		return
	fi
	update
	suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	# shellcheck disable=SC2016
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' "Codename: $suite" 'Component: main' | head -n 1)
	[ -n "$mirror" ] || fail "apt has no packages of Debian $suite"
	work=$(mktemp -d "$cache/.debian.XXXXXX")
	# shellcheck disable=SC2086
	quietly debootstrap --variant=minbase --include="$(echo $inside | tr ' ' ',')" "$suite" "$work/root" "$mirror"
	quietly systemctl --root="$work/root" disable ufw.service firewalld.service
	echo "$inside" >"$work/root/.complete"
	rm -rf "${cache:?}/debian"
	mv "$work/root" "$cache/debian"
	rm -rf "$work"
}

packages=$demo
unpacked=
case ${1:-} in
demo) ;;
test)
	packages=$test
	unpacked='vsftpd proftpd-core proftpd-mod-crypto pure-ftpd python3-pyftpdlib logwatch mandoc prometheus fail2ban'
	;;
deploy)
	packages=$deploy
	unpacked='vsftpd python3-pyftpdlib'
	;;
bench) unpacked='proftpd-core proftpd-mod-crypto proftpd-mod-proxy' ;;
*) fail 'usage: install.sh demo|test|bench|deploy' ;;
esac

[ "$(id -u)" = 0 ] || fail 'installing packages needs root'
command -v apt-get >/dev/null || fail "this is not Debian: install these yourself: $packages"

# Two at once would be in each other's way.
exec 9>/run/ftpgate-lab-install.lock
flock 9

# shellcheck disable=SC2086
install_packages $packages
for package in $unpacked; do
	mkdir -p "$cache"
	unpack "$package"
done
if [ "${1}" = deploy ]; then
	bootstrap
fi
