#!/bin/bash
# End the Slurm that up.sh started in the folder $1, and no other.
export SLURM_CONF="$1/slurm.conf"
timeout 5 scancel --user=root 2>/dev/null
sleep 0.5
for file in "$1"/slurmd.node1.pid "$1"/slurmd.node2.pid "$1"/slurmctld.pid; do
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    kill "$pid" 2>/dev/null
    # The next cluster has the same ports, and could not be started as long as this one's are taken.
    timeout 20 tail --pid="$pid" -f /dev/null
done
exit 0
