#!/usr/bin/env bash
# Two emulated hosts on one machine, each an hnv of its own, with four guests in network namespaces:
#
#     hnv-blue1 ─ tap ─┐                                                      ┌─ tap ─ hnv-blue2
#                      hnv, host1 (hnv-host1) ── nic1 ═ veth ═ nic1 ── hnv, host2 (hnv-host2)
#     hnv-red1  ─ tap ─┘                                                      └─ tap ─ hnv-red2
#
#   sudo examples/two-hosts.sh up       builds it and starts both
#   sudo examples/two-hosts.sh down     ends both and takes everything away
#
# Touches nothing but namespaces whose names begin with hnv- (or with $PREFIX, if that is set).
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=${PREFIX:-hnv}
lab=examples/two-tenants.yaml
out=${OUT:-out}

# host, VM, address, MAC
guests="host1 Blue1 10.0.0.5 06:06:00:00:00:05
host1 Red1 10.0.0.5 08:08:00:00:00:05
host2 Blue2 10.0.0.7 06:06:00:00:00:07
host2 Red2 10.0.0.7 08:08:00:00:00:07"
namespace() { echo "$prefix-${1,,}"; }

up() {
  for name in host1 host2 Blue1 Blue2 Red1 Red2; do ip netns add "$(namespace $name)"; done
  # The provider network: one cable, long enough for NVGRE around full frames.
  ip link add nic1 netns "$(namespace host1)" mtu 1600 type veth peer name nic1 netns "$(namespace host2)" mtu 1600
  mkdir -p "$out"
  for host in host1 host2; do
    ip -n "$(namespace $host)" link set nic1 up
    bindings=(--bind "$host/nic1=afpacket:nic1")
    while read -r at vm _; do
      [ "$at" = "$host" ] && bindings+=(--bind "$host/$vm=tap:${vm,,}")
    done <<<"$guests"
    ip netns exec "$(namespace $host)" bin/hnv run $lab "${bindings[@]}" >"$out/$host.log" 2>&1 &
    echo $! >"$out/$host.pid"
    disown
  done
  while read -r host vm address mac; do
    guest=$(namespace "$vm")
    until ip -n "$(namespace "$host")" link show "${vm,,}" >/dev/null 2>&1; do
      kill -0 "$(cat "$out/$host.pid")" || { cat "$out/$host.log"; exit 1; }
      sleep 0.1
    done
    ip -n "$(namespace "$host")" link set "${vm,,}" netns "$guest"
    ip -n "$guest" link set "${vm,,}" name eth0 address "$mac"
    ip -n "$guest" addr add "$address/24" dev eth0
    ip -n "$guest" link set lo up
    ip -n "$guest" link set eth0 up
  done <<<"$guests"
  # Hosts send nothing before they know that nobody else has their provider address.
  for host in host1 host2; do until grep -q "^$host uses" "$out/$host.log"; do sleep 0.1; done; done
  echo "up; try: ip netns exec $(namespace Blue1) ping 10.0.0.7"
}

down() {
  for host in host1 host2; do
    [ -f "$out/$host.pid" ] || continue
    pid=$(cat "$out/$host.pid")
    kill "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    rm "$out/$host.pid"
  done
  for name in host1 host2 Blue1 Blue2 Red1 Red2; do ip netns del "$(namespace $name)" 2>/dev/null || true; done
}

case ${1:-} in
  up) up ;;
  down) down ;;
  *) sed -n '2,11s/^# \?//p' "$0"; exit 2 ;;
esac
