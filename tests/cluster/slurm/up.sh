#!/bin/bash
# Start a private Slurm of two nodes on this machine, in the folder $1, without systemd, munge or cgroups.
# Needs root and Debian's slurmctld, slurmd and slurm-client. Then: export SLURM_CONF=$1/slurm.conf
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
mkdir -p "$folder"/{state,log,spool.node1,spool.node2}
head -c 64 /dev/urandom > "$folder/slurm.key"
chmod 600 "$folder/slurm.key"
echo CgroupPlugin=disabled > "$folder/cgroup.conf"

# CredType must stand beside AuthType. Lightning takes ports 15000 to 24999: Slurm's own stay out of them.
cat > "$folder/slurm.conf" <<CONF
ClusterName=tests
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
AuthType=auth/slurm
CredType=auth/slurm
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
KillWait=10
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.%n.log
SlurmctldPort=6817
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmdParameters=config_overrides
NodeName=node[1-2] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[6821-6822] CPUs=4 State=UNKNOWN
PartitionName=tests Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF

# The first node's name becomes torch's MASTER_ADDR, so it must resolve.
grep -qw node1 /etc/hosts || echo "127.0.0.1 node1 node2" >> /etc/hosts
export SLURM_CONF="$folder/slurm.conf"
slurmctld -c -i
for _ in 1 2 3; do
    # Again where it left no trace: once in a hundred starts a slurmd was gone before it had opened its log.
    for node in node1 node2; do
        [ -e "$folder/slurmd.$node.pid" ] || slurmd -N "$node"
    done
    for _ in $(seq 50); do
        [ "$(sinfo --noheader --Node --states=idle 2>/dev/null | wc -l)" != 2 ] || exit 0
        sleep 0.1
    done
done
echo "Slurm did not come up" >&2
tail -n 20 "$folder"/log/*.log >&2
exit 1
