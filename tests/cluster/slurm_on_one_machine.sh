#!/bin/bash
# Slurm on this machine, for as long as a command runs: a controller and two nodes of one core each.
#
#     slurm_on_one_machine.sh FOLDER COMMAND...
#
# Needs root and Debian's slurm-wlm and munge, which it installs where they are not there. A node is a process namespace:
# `kill -9 $(cat FOLDER/node1.pid)` ends all that runs on it at once, as when its power goes. All of it sees FOLDER/etc as
# /etc/slurm, in a mount namespace of its own: that is where a job step looks, whatever SLURM_CONF says outside.
set -euo pipefail
folder=$(realpath -m "$1")
if [ -z "${SLURM_ON_ONE_MACHINE:-}" ]; then
    mkdir -p /etc/slurm "$folder"
    SLURM_ON_ONE_MACHINE=1 exec unshare --mount "$0" "$@"
fi
shift
if ! command -v slurmctld munged > /dev/null; then
    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends slurm-wlm munge
fi
mkdir -p "$folder"/{etc,state,node1,node2}
mount --bind "$folder/etc" /etc/slurm
host=$(hostname -s)
cat > /etc/slurm/slurm.conf << END
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
AuthType=auth/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/%n/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
# A node is what is said here, whatever the machine has.
SlurmdParameters=config_overrides
ReturnToService=2
# A node that has not answered for so many seconds is lost.
SlurmdTimeout=10
JobRequeue=1
# Without an accounting database, what became of a job is known by squeue, for so many seconds.
MinJobAge=3600
NodeName=node1 NodeHostname=$host NodeAddr=127.0.0.1 Port=17001 CPUs=1 RealMemory=64000
NodeName=node2 NodeHostname=$host NodeAddr=127.0.0.1 Port=17002 CPUs=1 RealMemory=64000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END

mine=()
end() {
    scancel --user=root 2> /dev/null || true
    for pid in "${mine[@]}"; do kill -9 "$pid" 2> /dev/null || true; done
    wait 2> /dev/null || true
}
trap end EXIT
trap 'exit 143' TERM INT

if ! munge -n > /dev/null 2>&1; then
    install -d -o munge -g munge -m 755 /run/munge
    runuser -u munge -- munged --foreground > "$folder/munged.log" 2>&1 &
    mine+=($!)
    for _ in $(seq 50); do munge -n > /dev/null 2>&1 && break; sleep 0.1; done
fi
slurmctld -D > /dev/null 2>&1 &
mine+=($!)
for node in node1 node2; do
    unshare --pid --fork --kill-child --mount-proc slurmd -D -N "$node" > /dev/null 2>&1 &
    mine+=($!)
    echo $! > "$folder/$node.pid"
done
for _ in $(seq 100); do
    [ "$(sinfo --noheader --Node --states=idle --format=%N 2> /dev/null | wc -l)" = 2 ] && break
    sleep 0.2
done
sinfo --Node --long
"$@" &
mine+=($!)
wait $!
