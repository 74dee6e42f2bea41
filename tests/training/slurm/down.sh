#!/bin/bash
# End the Slurm that up.sh started in the folder $1, and no other.
export SLURM_CONF="$1/slurm.conf"
timeout 5 scancel --user=root 2>/dev/null
sleep 0.5
for file in "$1"/slurmd.node1.pid "$1"/slurmd.node2.pid "$1"/slurmctld.pid; do
    [ ! -s "$file" ] || kill "$(cat "$file")" 2>/dev/null
done
exit 0
