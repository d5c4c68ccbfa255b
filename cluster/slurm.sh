#!/usr/bin/env bash
# A Ray cluster inside one Slurm allocation, a sweep on it, and its end with the allocation:
#     sbatch cluster/slurm.sh label_efficiency --pair mnist-sc09
# VENV and LAB are folders that all nodes share. When the time is up, the same command goes on.
#SBATCH --job-name=bridgelab
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@120
set -euo pipefail
umask 077
: "${VENV:=$HOME/venv}" "${LAB:=$HOME/lab}" "${PORT:=6379}"
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
export RAY_AUTH_TOKEN_PATH="${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token}"

"$VENV/bin/python" -c 'import ray, sys; sys.exit(not ray.__version__.startswith("2.60.") and f"Ray {ray.__version__} is there; ray==2.60.* is wanted")'
if [ ! -s "$RAY_AUTH_TOKEN_PATH" ]; then
    echo "no token at $RAY_AUTH_TOKEN_PATH; cluster/README.md makes one" >&2
    exit 2
fi
chmod 600 "$RAY_AUTH_TOKEN_PATH"

# Ray's temporary folder is the job's own, on each node's own disk, and goes with it.
folder="/tmp/ray-$SLURM_JOB_ID"
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head="$(srun --nodes=1 --ntasks=1 --nodelist="${nodes[0]}" hostname --ip-address | awk '{print $1}')"
resources=(--num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" --disable-usage-stats --block)

finish() {
    kill "${steps[@]}" 2>/dev/null || true
    wait "${steps[@]}" 2>/dev/null || true
    srun --ntasks="${#nodes[@]}" --ntasks-per-node=1 --overlap rm -rf "$folder" || true
}
steps=()
trap finish EXIT

srun --nodes=1 --ntasks=1 --nodelist="${nodes[0]}" --overlap "$VENV/bin/ray" start --head \
    --node-ip-address="$head" --port="$PORT" --include-dashboard=false --temp-dir="$folder" "${resources[@]}" &
steps+=($!)
until "$VENV/bin/ray" health-check --address "$head:$PORT" >/dev/null 2>&1; do
    kill -0 "${steps[0]}" # the head ended: so do we
    sleep 1
done
for node in "${nodes[@]:1}"; do
    srun --nodes=1 --ntasks=1 --nodelist="$node" --overlap \
        "$VENV/bin/ray" start --address="$head:$PORT" "${resources[@]}" &
    steps+=($!)
done

"$VENV/bin/bridgelab" sweep "$@" --lab "$LAB" --address "$head:$PORT" &
sweep=$!
trap 'kill -TERM "$sweep"' TERM # two minutes before the end: packs are let go of
status=0
wait "$sweep" || status=$?
if kill -0 "$sweep" 2>/dev/null; then # it was the signal that ended the wait
    wait "$sweep" || status=$?
fi
exit "$status"
