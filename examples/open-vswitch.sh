#!/usr/bin/env bash
# One emulated host, and Open vSwitch's userspace GRE in the place of the other one; a guest in a network namespace behind each:
#
#     hnv-blue1 ─ tap ─ hnv, host1 (hnv-host1) ── nic1 ═ veth ═ wire ── phy ═ gre ═ int (hnv-ovs) ─ veth ─ hnv-blue2
#
#   sudo examples/open-vswitch.sh up      builds it and starts both
#   sudo examples/open-vswitch.sh down    ends both and takes everything away
#
# Needs the programs of Debian's openvswitch-switch; a running system switch is not touched. Touches nothing but namespaces whose
# names begin with hnv- (or with $PREFIX, if that is set).
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=${PREFIX:-hnv}
lab=examples/two-tenants.yaml
out=$(mkdir -p "${OUT:-out}" && cd "${OUT:-out}" && pwd)
export OVS_RUNDIR=$out/ovs OVS_LOGDIR=$out/ovs OVS_DBDIR=$out/ovs OVS_SYSCONFDIR=$out/ovs
inside() { local name=$prefix-$1; shift; ip netns exec "$name" "$@"; }

up() {
  for name in host1 ovs blue1 blue2; do ip netns add "$prefix-$name"; done
  ip link add nic1 netns "$prefix-host1" mtu 1600 type veth peer name wire netns "$prefix-ovs" mtu 1600
  ip link add guest netns "$prefix-ovs" type veth peer name eth0 netns "$prefix-blue2"
  ip -n "$prefix-host1" link set nic1 up
  ip -n "$prefix-ovs" link set wire up arp off # Open vSwitch answers for its address there, and the kernel shall not
  ip -n "$prefix-ovs" link set guest up

  # Open vSwitch: a private database and a private switch.
  mkdir -p "$out/ovs"
  ovsdb-tool create "$out/ovs/conf.db" /usr/share/openvswitch/vswitch.ovsschema
  inside ovs ovsdb-server "$out/ovs/conf.db" --remote="punix:$out/ovs/db.sock" --unixctl="$out/ovs/db.ctl" \
    --detach --pidfile="$out/ovs/db.pid"
  inside ovs ovs-vsctl --db="unix:$out/ovs/db.sock" --no-wait init
  inside ovs ovs-vswitchd "unix:$out/ovs/db.sock" --disable-system --unixctl="$out/ovs/switch.ctl" \
    --detach --pidfile="$out/ovs/switch.pid" --log-file="$out/ovs/log" 2>/dev/null
  inside ovs ovs-vsctl --db="unix:$out/ovs/db.sock" \
    -- add-br phy -- set bridge phy datapath_type=netdev 'other-config:hwaddr="02:00:c0:a8:04:16"' \
    -- add-port phy wire -- set interface phy mtu_request=1600 \
    -- add-br int -- set bridge int datapath_type=netdev fail-mode=secure \
    -- add-port int guest -- set interface guest ofport_request=1 \
    -- add-port int gre0 -- set interface gre0 ofport_request=2 type=gre \
    options:remote_ip=192.168.4.11 options:key=flow options:packet_type=legacy_l2
  inside ovs ip addr add 192.168.4.22/24 dev phy
  inside ovs ip link set phy up mtu 1600
  # The GRE key is the VSID (5001 is 0x1389) in 24 bits and the FlowID in 8.
  inside ovs ovs-ofctl add-flow "unix:$out/ovs/int.mgmt" 'in_port=1,actions=set_field:0x138900->tun_id,output:2'
  inside ovs ovs-ofctl add-flow "unix:$out/ovs/int.mgmt" 'in_port=2,tun_id=0x138900/0xffffff00,actions=output:1'

  # The emulated host.
  ip netns exec "$prefix-host1" bin/hnv run $lab --bind host1/nic1=afpacket:nic1 --bind host1/Blue1=tap:blue1 >"$out/host1.log" 2>&1 &
  echo $! >"$out/host1.pid"
  disown
  until ip -n "$prefix-host1" link show blue1 >/dev/null 2>&1; do
    kill -0 "$(cat "$out/host1.pid")" || { cat "$out/host1.log"; exit 1; }
    sleep 0.1
  done

  # The guests.
  ip -n "$prefix-host1" link set blue1 netns "$prefix-blue1"
  ip -n "$prefix-blue1" link set blue1 name eth0 address 06:06:00:00:00:05
  ip -n "$prefix-blue2" link set eth0 address 06:06:00:00:00:07
  inside blue2 ethtool -K eth0 tx off >/dev/null # Open vSwitch's userspace does not complete checksums of veth pairs
  ip -n "$prefix-blue1" addr add 10.0.0.5/24 dev eth0
  ip -n "$prefix-blue2" addr add 10.0.0.7/24 dev eth0
  for name in blue1 blue2; do ip -n "$prefix-$name" link set eth0 up; done
  # The host sends nothing before it knows that nobody else has its provider address; then both sides ask each other where they are.
  until grep -q "^host1 uses" "$out/host1.log"; do sleep 0.1; done
  until inside blue1 ping -c 1 -W 1 10.0.0.7 >/dev/null; do :; done
  echo "up; try: ip netns exec $prefix-blue1 ping 10.0.0.7"
}

down() {
  for file in "$out"/host1.pid "$out"/ovs/switch.pid "$out"/ovs/db.pid; do
    [ -f "$file" ] || continue
    pid=$(cat "$file")
    kill "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    rm -f "$file"
  done
  for name in host1 ovs blue1 blue2; do ip netns del "$prefix-$name" 2>/dev/null || true; done
  rm -rf "$out/ovs"
}

case ${1:-} in
  up) up ;;
  down) down ;;
  *) sed -n '2,10s/^# \?//p' "$0"; exit 2 ;;
esac
