#!/bin/sh
# Says which system packages are missing and why they are needed, and installs them with apt.
#   setup/system-packages.sh          what `make run` needs
#   setup/system-packages.sh --tests  what `make test` needs besides
#   setup/system-packages.sh --check  only say; fails when something is missing
set -eu

RUN='
gcc                     builds libvirt-python
python3-dev             builds libvirt-python
python3-venv            the virtual environment
pkg-config              builds libvirt-python
libvirt-dev             builds libvirt-python
libvirt-daemon-system   runs the guests
libvirt-clients         virsh, to look at guests from outside
qemu-system-x86         runs the guests
qemu-utils              disks of guests
dnsmasq-base            gives guests their addresses
nftables                firewall, NAT and the way to the metadata service
iproute2                looking at bridges and taps
genisoimage             config drives
e2fsprogs               file systems of guests
cpio                    the guest image
openssh-client          logging into guests
'
TESTS='
busybox-static          guests of network tests ask for addresses with it
procps                  looking at processes in tests
postgresql              one of the three databases
mariadb-server          one of the three databases
'

wanted=$RUN
only_check=
for argument in "$@"; do
    case $argument in
        --tests) wanted="$wanted$TESTS" ;;
        --check) only_check=yes ;;
        *) echo "usage: $0 [--tests] [--check]" >&2; exit 2 ;;
    esac
done

if ! command -v dpkg-query > /dev/null; then
    echo "This machine has no dpkg. Install what these Debian packages hold, then go on: $(echo "$wanted" | awk '{print $1}' | xargs)" >&2
    exit 1
fi

missing=
while read -r package reason; do
    [ -n "$package" ] || continue
    if ! dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null | grep -q '^installed$'; then
        missing="$missing $package"
        printf 'missing: %-22s %s\n' "$package" "$reason"
    fi
done << END
$wanted
END

[ -n "$missing" ] || exit 0
if [ -n "$only_check" ]; then
    echo "install with: apt-get install$missing" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo > /dev/null; then
    as_root=sudo
else
    echo "To install them, as root: apt-get install$missing" >&2
    exit 1
fi
echo "installing with apt:$missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get -qq update
# A package that starts a service must not fail where nothing can be started (containers).
# shellcheck disable=SC2086
$as_root apt-get -qq install -y --no-install-recommends $missing > /dev/null
