#!/usr/bin/env bash
# The first process of a host: own /tmp, /run, /dev/shm and home, and an sshd that lets one key in.
#     host.sh NAME FOLDER ROOT PREFIX BASE_PREFIX
# FOLDER is what all hosts share, with the keys in it; the checkout and Python stay visible also below those.
set -euo pipefail
name=$1 folder=$2 root=$3
kept=("$@")
kept=("${kept[@]:1}")
mount --make-rprivate /
hostname "$name"
mount -t tmpfs none /mnt
for i in "${!kept[@]}"; do
    mkdir "/mnt/$i"
    mount --rbind "${kept[i]}" "/mnt/$i"
done
for place in /tmp /run /dev/shm ~root; do
    mount -t tmpfs -o mode=1777,size=1g none "$place"
done
for i in "${!kept[@]}"; do
    if [ ! -e "${kept[i]}" ]; then
        mkdir -p "${kept[i]}"
        mount --rbind "/mnt/$i" "${kept[i]}"
    fi
done
umount -l /mnt
chmod 700 ~root
mkdir -p /run/sshd
ip link set lo up
exec "$(command -v sshd)" -D -e -f /dev/null -h "$folder/key" \
    -o UsePAM=no -o StrictModes=no -o PidFile=none -o AuthorizedKeysFile="$folder/key.pub" \
    -o SetEnv="PYTHONPATH=$root OMP_NUM_THREADS=1"
